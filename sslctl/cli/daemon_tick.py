"""`sslctl daemon-tick`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import click

from sslctl.app import App
from sslctl.cli.options import json_option, moment
from sslctl.cli.output import json_shapes, render, warnings
from sslctl.cli.output.outcomes import Report, domains_json
from sslctl.cli.run_batch import run_passes
from sslctl.errors import Busy, Exit
from sslctl.fleet import ari_polling, notices, planning
from sslctl.fleet.planning import Plan
from sslctl.notify.ping import ping
from sslctl.rules import singapore
from sslctl.rules.claim_names import TICK
from sslctl.rules.model import Milestone, Notice
from sslctl.rules.reasons import Status
from sslctl.rules.renewal import Alert, Ari
from sslctl.system.locks import locked

# Of a tick that died with its host; on the same host a dead owner's claim is void at once.
_CLAIM_TIME = timedelta(hours=12)
# A fleet of 100,000 asked about over the internet takes some minutes; what is left has its turn at the next tick.
_ASKING_SECONDS = 300
# Nothing is ordered or uploaded from a damaged database. In the first some ten thousand domains are looked through, with
# the second any fleet; that waits until there is something to do.
_LOOKING_SECONDS = 0.2
_LOOKING_LONG_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Told:
    """What became of the notice and of the ping."""

    notice: Notice
    ping_trouble: str | None

    def lines(self) -> Iterator[str]:
        """Say what did not go out."""
        yield from warnings.notice_lines(self.notice)
        if self.ping_trouble:
            yield f"The ping of notify.ping_url failed: it {self.ping_trouble}"


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
    # As with C4's token: what is wrong there is known before any domain is touched.
    _ = app.notifier
    app.via = "tick"
    is_whole = app.store.check_integrity(_LOOKING_SECONDS)
    # What an operator works on is in good hands, and has its turn at the next tick; what one deleted needs none.
    report = Report([], batch=True, yields=True)
    with _alone(app):
        plan = _plan(app, at, force=force)
        if plan.tasks and not is_whole:
            app.store.check_integrity(_LOOKING_LONG_SECONDS)
        _carry_out(app, plan, report)
        alerts = _ask_ca(app, report)
        app.store.record_milestone(Milestone.TICK, f"{report.ended} due, {len(report.unwell)} not well")
        noticed = _tell_people(app)
    told = Told(noticed, _ping(app, report, noticed))
    _say_outcome(app, plan, report, alerts, told, quiet=quiet, as_json=as_json)
    return report.exit_code


@contextmanager
def _alone(app: App) -> Iterator[None]:
    """Keep other ticks out for the block: on this host by the kernel's lock, on others by a claim. Raises `Busy`."""
    store = app.store
    with locked(app.config.state.tick_lock_path) as is_free:
        if not is_free or not store.claim([TICK], _CLAIM_TIME):
            raise Busy("another tick is running")
        try:
            yield
        finally:
            store.release([TICK])


def _plan(app: App, at: datetime, *, force: bool) -> Plan:
    most = app.config.renewal.max_per_day
    return planning.plan(app.store, at, app.renewal, max_per_day=most, force=force)


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
    asked = ari_polling.poll(app.store, app.issuer, app.clock, seconds=_ASKING_SECONDS)
    if asked.asked:
        _carry_out(app, _plan(app, app.clock(), force=False), report)
    return asked.alerts


def _tell_people(app: App) -> Notice:
    """Tell people of the domains that need them; where nobody is to be told, forget what was told before."""
    section = app.config.notify
    if app.notifier is None:
        if app.store.last_notice() != Notice():
            app.store.record_notice(Notice())
        return Notice()
    repeat = timedelta(hours=section.repeat_hours)
    return notices.tell(app.store, app.notifier, tuple(map(Status, section.statuses)), repeat, app.clock())


def _ping(app: App, report: Report, noticed: Notice) -> str | None:
    """Say to who watches the ticks that this one was good; give why that failed, None where nothing was to be said.

    No word is sent after a bug, nor where a notice reached nobody: that the pings stop is what reaches people then.
    """
    url = app.config.notify.ping_url
    reached_nobody = app.notifier is not None and len(noticed.missed) == len(app.notifier.schemes)
    if not url or reached_nobody or report.exit_code == Exit.BUG:
        return None
    return ping(url)


def _say_plan(plan: Plan, at: datetime, *, as_json: bool) -> None:
    if as_json:
        planned = ({"domain": task.name, "work": task.due.work, "why": task.due.why} for task in plan.tasks)
        render.json_list(
            json_shapes.envelope(at=json_shapes.instant(at), held_renewals=plan.held), "planned", planned
        )
        return
    render.lines(f"{task.name}: {task.due.work}, because {task.due.why}" for task in plan.tasks)
    for line in _held(plan):
        render.line(line)
    render.line(f"{singapore.format_sgt(at)}: {len(plan.tasks)} due; nothing was done (--dry-run)")


def _say_outcome(
    app: App, plan: Plan, report: Report, alerts: Sequence[Alert], told: Told, *, quiet: bool, as_json: bool
) -> None:
    now = app.clock()
    counts, paused = app.store.count_by_status(now), app.store.pauses(now)
    if as_json:
        answer = json_shapes.envelope(
            at=json_shapes.instant(now),
            ca_alerts=list(map(json_shapes.alert, alerts)),
            ca_pauses=list(map(json_shapes.pause, paused)),
            held_renewals=plan.held,
            managed=_all_counts(counts),
            notice=json_shapes.notice(told.notice),
            pinged=None if told.ping_trouble is None else not told.ping_trouble,
        )
        render.json_list(answer, "domains", domains_json(app.store, report.names, report.errors, now))
        return
    unwell = report.unwell
    troubles = list(told.lines())
    if quiet and not unwell and not paused and not alerts and not troubles:
        return
    managed = ", ".join(f"{counts[status]} {status}" for status in reversed(Status) if status in counts)
    done = f"{report.ended} due, {report.ended - len(unwell)} now well, {len(unwell)} not"
    render.line(
        f"{singapore.format_sgt(now)}: {done if report.ended else 'nothing due'};"
        f" {sum(counts.values())} managed{': ' if managed else ''}{managed}"
    )
    for line in (*_alerted(alerts), *warnings.pause_lines(paused), *_held(plan), *troubles):
        render.line(line)
    for domain in app.store.domains_named([name for name in unwell if name not in report.errors]):
        render.outcome(domain, now)


def _alerted(alerts: Sequence[Alert]) -> Iterator[str]:
    for alert in alerts:
        what = "1 certificate" if alert.domains == 1 else f"{alert.domains} certificates"
        window = f"{singapore.format_sgt(alert.start_at)} to {singapore.format_sgt(alert.end_at)}"
        yield f"The CA wants {what} replaced early, from {window}: {alert.explanation_url or 'it does not say why'}"


def _held(plan: Plan) -> Iterator[str]:
    if plan.held:
        yield f"{plan.held} renewals are held until tomorrow, within renewal.max_per_day"


def _all_counts(counts: dict[Status, int]) -> dict[str, int]:
    return {status.value: counts.get(status, 0) for status in Status}
