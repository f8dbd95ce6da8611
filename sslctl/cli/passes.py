"""Running passes from the command line: progress, Ctrl-C, output and the exit code."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from types import FrameType

import click

from sslctl import lifecycle
from sslctl.batch import Batch, Outcome
from sslctl.cli import render, wire
from sslctl.cli.app import App
from sslctl.cli.progress import Progress
from sslctl.errors import Busy, Exit, SslctlError
from sslctl.model import Domain, Verdict
from sslctl.reasons import Status
from sslctl.text import clean

_EXIT = {
    Status.SUCCESS: Exit.OK,
    Status.PENDING: Exit.PENDING,
    Status.FAILURE: Exit.FAILURE,
    Status.EXPIRED: Exit.FAILURE,
    Status.DISCARD: Exit.DISCARD,
    Status.EMERGENCY: Exit.EMERGENCY,
}


def run_passes(
    app: App, domains: Sequence[Domain], *, renew: bool = False, tell: bool = True
) -> list[Outcome]:
    """Make a pass over each domain, with progress on a terminal.

    With `tell` each outcome is written to standard output as it comes, and who is left to another sslctl is named. After Ctrl-C those under way are finished and
    the rest is said to be left; a second Ctrl-C ends the process at once, which is safe at any moment.
    """
    with Progress(len(domains)) as progress:

        def on_done(outcome: Outcome) -> None:
            with progress.done():
                if outcome.error is not None and (tell or not isinstance(outcome.error, Busy)):
                    complain(outcome)
                elif outcome.error is None and tell:
                    _tell(outcome, app.clock())

        batch = Batch(app.pipeline(progress.step), app.config.acme.workers)
        with _interruptible(batch, progress):
            outcomes = batch.run(domains, renew=renew, on_done=on_done)
    left = len(domains) - len(outcomes)
    if left:
        click.echo(
            f"sslctl: {left} of {len(domains)} domains not begun; they stay recorded as they were", err=True
        )
        raise click.Abort
    return outcomes


def exit_code(outcomes: Sequence[Outcome], now: datetime, *, batch: bool) -> int:
    """Give the exit code for these outcomes (README, "Exit codes"): a batch's, or one named domain's own."""
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    verdicts = [lifecycle.verdict(outcome.domain, now) for outcome in outcomes if outcome.error is None]
    if any(verdict.status is Status.EMERGENCY for verdict in verdicts):
        return Exit.EMERGENCY
    if any(not isinstance(error, SslctlError) for error in errors):
        return Exit.BUG
    if not batch:
        own = [error.exit_code for error in errors if isinstance(error, SslctlError)]
        return own[0] if own else _own(verdicts[0])
    is_well = not errors and all(verdict.status is Status.SUCCESS for verdict in verdicts)
    return Exit.OK if is_well else Exit.SOME_NOT_WELL


def _own(verdict: Verdict) -> int:
    # Why an expired certificate is not renewed says who must act.
    return _EXIT[verdict.also.reason.status if verdict.also else verdict.status]


def outcomes_json(outcomes: Sequence[Outcome], now: datetime) -> list[dict[str, object]]:
    """Give the outcomes as in the JSON; `error` says why no pass was made."""
    return [
        wire.domain(outcome.domain, now)
        | {"error": None if outcome.error is None else _error_code(outcome.error)}
        for outcome in outcomes
    ]


def _error_code(error: Exception) -> str:
    return error.code if isinstance(error, SslctlError) else SslctlError.code


def _tell(outcome: Outcome, now: datetime) -> None:
    try:
        render.outcome(outcome.domain, now)
    except BrokenPipeError:
        # The work goes on without its reader: the exit code and the edge are for others too.
        render.let_go()


def complain(outcome: Outcome) -> None:
    """Say on standard error why no pass was made."""
    error = outcome.error
    text = error.message if isinstance(error, SslctlError) else f"bug: {type(error).__name__}: {clean(error)}"
    click.echo(f"sslctl: error: {outcome.domain.name}: {text}", err=True)


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
