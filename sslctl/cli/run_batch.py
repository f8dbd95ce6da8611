"""Run passes from the command line: progress, Ctrl-C, and one line of output for each pass."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from types import FrameType

import click

from sslctl.app import App
from sslctl.cli.output import warnings
from sslctl.cli.output.outcomes import print_error, print_removed, print_unrecorded, write_outcome
from sslctl.cli.output.progress import Progress
from sslctl.cli.output.stdout import discard_stdout
from sslctl.cli.signals import handling
from sslctl.cli.wait import Wait
from sslctl.errors import Busy, Exit, StateBusy
from sslctl.issuance.batch import Batch
from sslctl.issuance.consent import NO_CONSENT, Consent
from sslctl.issuance.outcome import Outcome
from sslctl.issuance.report import CONCURRENT_CHANGE, Report
from sslctl.issuance.slots import Slots
from sslctl.issuance.work import Sharing
from sslctl.rules.model import Domain, Installed
from sslctl.rules.pass_result import SUSPECTED


def run_passes(
    app: App,
    names: Sequence[str],
    report: Report,
    *,
    renew: Container[str] = (),
    consent: Consent = NO_CONSENT,
    check_dns: bool = False,
    sharing: Sharing | None = None,
    print_each: bool = True,
    print_errors: bool = True,
    on_step: Callable[[Domain, str], None] | None = None,
) -> None:
    """Run a pass over each of `names`, show progress on a terminal, and add each outcome to `report`.

    Domains in `renew` get a new certificate even if none is due; `consent` and `check_dns` hold for all of them. By `sharing` some
    are left to other processes. With `print_each`, print each outcome as soon as the pass ends, and report the domains that another command works on. Without `print_errors`, print no
    errors either: `report` has them. After the first Ctrl-C no
    order is placed and the passes under way are finished; a second Ctrl-C ends the process at once, which is safe at any
    moment. If results could not be recorded, no further pass is started either; `report` has these domains. Otherwise raise
    `click.Abort` if domains were not reached. `on_step` is called at each step, from any thread.
    """
    done = 0

    with Progress(len(names), is_plain=app.plain_progress) as progress:

        def on_done(outcome: Outcome) -> None:
            nonlocal done
            done += 1
            progress.total = count_ours()
            with progress.done():
                report.add(outcome, app.clock())
                if print_errors:
                    _print(app, outcome, print_each=print_each)

        def show_step(domain: Domain, step: str) -> None:
            progress.step(domain, step)
            if on_step is not None:
                on_step(domain, step)

        slots = Slots(app.config.acme.workers)
        batch = Batch(app.pipeline(show_step, slots), slots, on_notice=app.on_wait)

        def count_ours() -> int:
            return len(names) - batch.left_out

        with _interruptible(batch, progress, lambda: f"{count_ours() - done} of {count_ours()}"):
            batch.run(
                names, sharing=sharing, renew=renew, consent=consent, check_dns=check_dns, on_done=on_done
            )
    left = count_ours() - done
    report.is_stopped = report.is_stopped or batch.stopped
    unrecorded = set(report.unrecorded).intersection(names)
    if left and (print_errors or not unrecorded):
        click.echo(
            f"sslctl: {left} of {count_ours()} domains not reached; the next tick takes up those that are due",
            err=True,
        )
    if unrecorded:
        if print_errors:
            print_unrecorded([name for name in names if name in unrecorded], report.errors)
    elif left:
        raise click.Abort


def run_requested_passes(
    app: App,
    names: Sequence[str],
    report: Report,
    *,
    renew: Container[str] = (),
    consent: Consent = NO_CONSENT,
    check_dns: bool = False,
    print_each: bool = True,
    wait: timedelta | None = None,
) -> None:
    """Run the passes that a person asked for, as `run_passes` does, and conclude what they make suspicious.

    Of a few domains the person sees each result, so it is believed at once. Of many it is concluded after the last one,
    like in a tick. With `wait` they are repeated for that long, as in `Wait`.
    """
    since = app.clock()
    warnings.print_maintenance(app.store.maintenance_pause(since))
    # Of a single domain a person always sees the result.
    few = len(names) <= max(app.suspicion_limit.of(len(names)), 1)
    if few:
        consent = replace(consent, believe=frozenset(SUSPECTED))

    def run(due: Sequence[str], consent: Consent, *, print_each: bool) -> None:
        _run_once(
            app,
            due,
            report,
            few=few,
            renew=renew,
            consent=consent,
            check_dns=check_dns,
            print_each=print_each,
        )

    if wait is None or not names:
        run(names, consent, print_each=print_each)
        return

    def run_again(due: Sequence[str]) -> None:
        # A certificate that came to C4 after this command had read its record is not one that the person agreed to replace.
        seen = {
            domain.name
            for domain in app.store.domains_named(due)
            if domain.name in passed and domain.observed_at is not None and domain.observed_at >= since
        }
        passed.update(due)
        for group, agreed in ((seen, replace(consent, replace_text=False)), (set(due) - seen, consent)):
            chosen = [name for name in due if name in group]
            if chosen and not report.is_stopped:
                run(chosen, agreed, print_each=False)
        passed.difference_update(name for name in due if isinstance(report.errors.get(name), Busy))

    passed: set[str] = set()
    Wait(app, names, report, wait, print_each=print_each).run(run_again)


def _run_once(
    app: App,
    names: Sequence[str],
    report: Report,
    *,
    few: bool,
    renew: Container[str],
    consent: Consent,
    check_dns: bool,
    print_each: bool,
) -> None:
    """Run one pass over each of `names`, two if C4 seems to have lost the certificates of a few."""
    since = app.clock()
    last_event = app.store.last_event()
    # What C4 had of others at the last step of each pass: what an upload replaces.
    foreign: dict[str, Installed | None] = {}

    def keep_foreign(domain: Domain, _step: str) -> None:
        foreign[domain.name] = domain.foreign

    def run(again: Sequence[str], consent: Consent) -> None:
        run_passes(
            app,
            again,
            report,
            renew=renew,
            consent=consent,
            check_dns=check_dns,
            print_each=print_each,
            on_step=keep_foreign,
        )

    try:
        run(names, consent)
        if not few:
            _check_again(app, names, since, consent, run)
    finally:
        if not few:
            conclusion = app.conclude_suspicions(since, len(names))
            report.withhold(conclusion.withheld)
            report.update(conclusion.domains, app.clock())
            for each in report.withheld:
                click.echo(f"sslctl: {each.describe()}", err=True)
        limit = max(app.suspicion_limit.of(len(names)), 1)
        customers = app.named_customers.conclude(limit, len(names))
        if customers is not None:
            click.echo(f"sslctl: {customers.describe()}", err=True)
        _print_changes(app, names, foreign, last_event)


def _check_again(
    app: App,
    names: Sequence[str],
    since: datetime,
    consent: Consent,
    run: Callable[[Sequence[str], Consent], None],
) -> None:
    """Run a second pass over those of `names` of which C4 seems to have another certificate or none, if these are few."""
    requested = set(names)
    for code, doubted in app.domains_to_check_again(since).items():
        again = [name for name in doubted if name in requested]
        if again and len(again) <= app.suspicion_limit.of(len(names)):
            run(again, replace(consent, believe=frozenset({code})))


def _print_changes(
    app: App,
    names: Sequence[str],
    foreign: Mapping[str, Installed | None],
    last_event: int,
) -> None:
    """Print what was lost on the edge according to the events after the one with the id `last_event`.

    That is what got worse because of --force, and which certificates are gone that sslctl did not install: `foreign`, by
    domain.
    """
    left = {name: installed for name, installed in foreign.items() if installed is not None}
    requested = set(names)
    for name, event in app.store.audit_trail(after=last_event):
        if name not in requested:
            continue
        # An upload replaces what was there; before it, a text certificate is removed.
        if event.kind in ("removed", "uploaded") and name in left:
            print_removed(name, left.pop(name))
        elif event.kind == "forced":
            click.echo(f"sslctl: {name}: installed because of --force, although {event.detail}", err=True)


def _print(app: App, outcome: Outcome, *, print_each: bool) -> None:
    if isinstance(outcome.error, StateBusy):
        return  # reported for all domains together
    if outcome.error is not None and (print_each or not isinstance(outcome.error, CONCURRENT_CHANGE)):
        print_error(outcome.name, outcome.error)
    elif outcome.domain is not None and print_each:
        try:
            write_outcome(outcome.domain, app.clock())
        except BrokenPipeError:
            # The reader of the output has left; the passes go on for the sake of the exit code and the edge.
            discard_stdout()


@contextmanager
def _interruptible(batch: Batch, progress: Progress, count_left: Callable[[], str]) -> Iterator[None]:
    """Stop `batch` at the first Ctrl-C in the block, and the process at the second; `count_left` is what has no result then."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if batch.stopped:
            # Python's own streams must not be used here: the signal may have come in the middle of a write.
            os.write(
                2,
                f"sslctl: stopped; {count_left()} domains have no result. Orders under way stay open, and the next tick "
                "goes on with them.\n".encode(),
            )
            os._exit(Exit.INTERRUPTED)
        batch.stop()
        progress.clear()
        click.echo("sslctl: finishing the passes under way; press Ctrl-C again to stop at once", err=True)

    with handling(interrupt):
        yield
