"""`sslctl daemon-tick`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import click

from sslctl import batch, lifecycle
from sslctl.batch import Outcome, Task
from sslctl.cli import render, wire
from sslctl.cli.app import App
from sslctl.cli.options import json_option, moment
from sslctl.cli.passes import exit_code, outcomes_json, run_passes
from sslctl.errors import Busy, Exit
from sslctl.reasons import Status

_CLAIM = "tick"
# Of a tick that died with its host; on the same host a dead owner's claim is void at once.
_CLAIM_TIME = timedelta(hours=12)


@click.command("daemon-tick")
@click.option("--force", is_flag=True, help="Do the daily recheck again, even if it was done today.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done, and why.")
@click.option(
    "--now",
    type=moment,
    metavar="TIME",
    help="With --dry-run: answer for this time (Singapore's, or RFC 3339).",
)
@click.option("-q", "--quiet", is_flag=True, help="Say nothing when all is well.")
@json_option
@click.pass_obj
def command(app: App, *, force: bool, dry_run: bool, now: datetime | None, quiet: bool, as_json: bool) -> int:
    """Do what is due: what cron runs, every hour.

    Renews what is within 7 days of its expiry, uploads again what C4 did not take, and from 00:00 Singapore time on,
    once a day, rechecks all of source c4 in Failure, Pending or Expired. A missed midnight is made up by the next run.
    """
    if now is not None and not dry_run:
        raise click.UsageError("--now goes with --dry-run")
    at = now or app.clock()
    if dry_run:
        _say_plan(batch.plan(app.store, at, app.renew_before, force=force), at, as_json=as_json)
        return Exit.OK
    app.require_outside()
    app.via = "tick"
    if not app.store.claim([_CLAIM], _CLAIM_TIME):
        raise Busy("another tick is running")
    try:
        tasks = batch.plan(app.store, at, app.renew_before, force=force)
        outcomes = run_passes(app, [task.domain for task in tasks], tell=False) if tasks else []
    finally:
        app.store.release([_CLAIM])
    _say_outcomes(app, outcomes, quiet=quiet, as_json=as_json)
    return exit_code(_settled(outcomes), app.clock(), batch=True)


def _settled(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Leave out what an operator is working on: it is in good hands, and has its turn at the next tick."""
    return [outcome for outcome in outcomes if not isinstance(outcome.error, Busy)]


def _say_plan(tasks: Sequence[Task], at: datetime, *, as_json: bool) -> None:
    if as_json:
        planned = [{"domain": task.domain.name, "work": task.due.work, "why": task.due.why} for task in tasks]
        render.json_object(wire.envelope(at=wire.instant(at), planned=planned))
        return
    for task in tasks:
        render.line(f"{task.domain.name}: {task.due.work}, because {task.due.why}")
    render.line(f"{lifecycle.moment(at)}: {len(tasks)} due; nothing was done (--dry-run)")


def _say_outcomes(app: App, outcomes: Sequence[Outcome], *, quiet: bool, as_json: bool) -> None:
    now = app.clock()
    counts = app.store.counts(now)
    if as_json:
        render.json_object(
            wire.envelope(
                at=wire.instant(now), domains=outcomes_json(outcomes, now), managed=_all_counts(counts)
            )
        )
        return
    outcomes = _settled(outcomes)
    unwell = [o for o in outcomes if o.error or lifecycle.verdict(o.domain, now).status is not Status.SUCCESS]
    if quiet and not unwell:
        return
    managed = ", ".join(f"{counts[status]} {status}" for status in reversed(Status) if status in counts)
    done = f"{len(outcomes)} due, {len(outcomes) - len(unwell)} now well, {len(unwell)} not"
    render.line(
        f"{lifecycle.moment(now)}: {done if outcomes else 'nothing due'};"
        f" {sum(counts.values())} managed{': ' if managed else ''}{managed}"
    )
    for outcome in unwell:
        if outcome.error is None:
            render.outcome(outcome.domain, now)


def _all_counts(counts: dict[Status, int]) -> dict[str, int]:
    return {status.value: counts.get(status, 0) for status in Status}
