"""Running passes from the command line: progress, Ctrl-C, and a line of output as each pass ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import click

from sslctl.app import App
from sslctl.cli.output import render
from sslctl.cli.output.outcomes import TAKEN_OVER, Report, complain
from sslctl.cli.output.progress import Progress
from sslctl.errors import Exit
from sslctl.issuance.batch import Batch, Outcome
from sslctl.issuance.slots import Slots


def run_passes(
    app: App,
    names: Sequence[str],
    report: Report,
    *,
    renew: Container[str] = (),
    tell: bool = True,
) -> None:
    """Make a pass over each of `names`, with progress on a terminal, and enter what came of it into `report`.

    `renew` has those that get a new certificate even when none is due. With `tell` each outcome is written to standard
    output as it comes, and who is left to another sslctl is named. After Ctrl-C no order is begun, those under way are
    finished and the rest is said to be left; a second Ctrl-C ends the process at once, which is safe at any moment.
    """
    left = len(names)

    with Progress(len(names)) as progress:

        def on_done(outcome: Outcome) -> None:
            nonlocal left
            left -= 1
            with progress.done():
                report.add(outcome, app.clock())
                _tell(app, outcome, tell=tell)

        slots = Slots(app.config.acme.workers)
        batch = Batch(app.pipeline(progress.step, slots), slots)
        with _interruptible(batch, progress):
            batch.run(names, renew=renew, on_done=on_done)
    if left:
        click.echo(f"sslctl: {left} of {len(names)} domains left; they stay recorded as they were", err=True)
        raise click.Abort


def _tell(app: App, outcome: Outcome, *, tell: bool) -> None:
    if outcome.error is not None and (tell or not isinstance(outcome.error, TAKEN_OVER)):
        complain(outcome.name, outcome.error)
    elif outcome.domain is not None and tell:
        try:
            render.outcome(outcome.domain, app.clock())
        except BrokenPipeError:
            # The work goes on without its reader: the exit code and the edge are for others too.
            render.let_go()


@contextmanager
def _interruptible(batch: Batch, progress: Progress) -> Iterator[None]:
    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if batch.stopped:
            # An order under way stays open, and the next pass collects it.
            os._exit(Exit.INTERRUPTED)
        batch.stop()
        progress.clear()
        click.echo("sslctl: finishing what is under way; Ctrl-C again ends at once", err=True)

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
