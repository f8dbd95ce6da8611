"""`sslctl daemon-tick`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import click

from sslctl import batch, lifecycle, renewal_info
from sslctl.batch import Plan
from sslctl.cli import pauses, render, wire
from sslctl.cli.app import App
from sslctl.cli.options import json_option, moment
from sslctl.cli.passes import run_passes
from sslctl.cli.report import Report, domains_json
from sslctl.errors import Busy, Exit
from sslctl.reasons import Status
from sslctl.renewal import Alert, Ari

_CLAIM = "tick"
# Of a tick that died with its host; on the same host a dead owner's claim is void at once.
_CLAIM_TIME = timedelta(hours=12)
# A fleet of 100,000 asked about over the internet takes some minutes; what is left has its turn at the next tick.
_ASKING_SECONDS = 300
# Nothing is ordered or uploaded from a damaged database. In the first some ten thousand domains are looked through, with
# the second any fleet; that waits until there is something to do.
_LOOKING_SECONDS = 0.2
_LOOKING_LONG_SECONDS = 60


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
        _say_plan(_plan(app, at, force=force), at, as_json=as_json)
        return Exit.OK
    app.require_outside()
    app.via = "tick"
    is_whole = app.store.require_whole(_LOOKING_SECONDS)
    if not app.store.claim([_CLAIM], _CLAIM_TIME):
        raise Busy("another tick is running")
    try:
        plan = _plan(app, at, force=force)
        if plan.tasks and not is_whole:
            app.store.require_whole(_LOOKING_LONG_SECONDS)
        # What an operator works on is in good hands, and has its turn at the next tick.
        report = Report([], batch=True, forgives_busy=True)
        _carry_out(app, plan, report)
        alerts = _ask_ca(app, report)
    finally:
        app.store.release([_CLAIM])
    _say_outcome(app, plan, report, alerts, quiet=quiet, as_json=as_json)
    return report.exit_code


def _plan(app: App, at: datetime, *, force: bool) -> Plan:
    most = app.config.renewal.max_per_day
    return batch.plan(app.store, at, app.renewal, max_per_day=most, force=force)


def _carry_out(app: App, plan: Plan, report: Report) -> None:
    """Make the passes of `plan`, but for domains that had theirs in this tick."""
    had = set(report.names)
    names = [task.name for task in plan.tasks if task.name not in had]
    if names:
        report.names += names
        run_passes(app, names, report, renew={task.name for task in plan.tasks if task.early}, tell=False)


def _ask_ca(app: App, report: Report) -> Sequence[Alert]:
    """Ask the CA when it wants certificates renewed, do what that makes due, and give what it wants early."""
    if app.renewal.ari is Ari.OFF:
        return ()
    asked = renewal_info.poll(app.store, app.issuer, app.clock, seconds=_ASKING_SECONDS)
    if asked.asked:
        _carry_out(app, _plan(app, app.clock(), force=False), report)
    return asked.alerts


def _say_plan(plan: Plan, at: datetime, *, as_json: bool) -> None:
    if as_json:
        planned = ({"domain": task.name, "work": task.due.work, "why": task.due.why} for task in plan.tasks)
        render.json_list(wire.envelope(at=wire.instant(at), held_renewals=plan.held), "planned", planned)
        return
    render.lines(f"{task.name}: {task.due.work}, because {task.due.why}" for task in plan.tasks)
    for line in _held(plan):
        render.line(line)
    render.line(f"{lifecycle.moment(at)}: {len(plan.tasks)} due; nothing was done (--dry-run)")


def _say_outcome(
    app: App, plan: Plan, report: Report, alerts: Sequence[Alert], *, quiet: bool, as_json: bool
) -> None:
    now = app.clock()
    counts, paused = app.store.counts(now), app.store.pauses(now)
    if as_json:
        told = wire.envelope(
            at=wire.instant(now),
            ca_alerts=list(map(wire.alert, alerts)),
            ca_pauses=list(map(wire.pause, paused)),
            held_renewals=plan.held,
            managed=_all_counts(counts),
        )
        render.json_list(told, "domains", domains_json(app.store, report.names, report.errors, now))
        return
    unwell = report.unwell
    if quiet and not unwell and not paused and not alerts:
        return
    managed = ", ".join(f"{counts[status]} {status}" for status in reversed(Status) if status in counts)
    done = f"{report.ended} due, {report.ended - len(unwell)} now well, {len(unwell)} not"
    render.line(
        f"{lifecycle.moment(now)}: {done if report.ended else 'nothing due'};"
        f" {sum(counts.values())} managed{': ' if managed else ''}{managed}"
    )
    for line in (*_alerted(alerts), *pauses.lines(paused), *_held(plan)):
        render.line(line)
    for domain in app.store.named([name for name in unwell if name not in report.errors]):
        render.outcome(domain, now)


def _alerted(alerts: Sequence[Alert]) -> Iterator[str]:
    for alert in alerts:
        what = "1 certificate" if alert.domains == 1 else f"{alert.domains} certificates"
        window = f"{lifecycle.moment(alert.start_at)} to {lifecycle.moment(alert.end_at)}"
        yield f"The CA wants {what} replaced early, from {window}: {alert.explanation_url or 'it does not say why'}"


def _held(plan: Plan) -> Iterator[str]:
    if plan.held:
        yield f"{plan.held} renewals are held until tomorrow, within renewal.max_per_day"


def _all_counts(counts: dict[Status, int]) -> dict[str, int]:
    return {status.value: counts.get(status, 0) for status in Status}
