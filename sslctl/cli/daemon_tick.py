"""`sslctl daemon-tick`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial

import click

from sslctl.app import App
from sslctl.cli.options import json_option, moment
from sslctl.cli.output import json_shapes, warnings
from sslctl.cli.output.outcomes import domains_json
from sslctl.cli.output.stdout import write_json_list, write_line, write_lines
from sslctl.cli.output.unwell import write_unwell
from sslctl.cli.run_batch import run_passes
from sslctl.errors import Exit
from sslctl.fleet.one_tick import TickRuns
from sslctl.fleet.planning import Plan
from sslctl.fleet.tick_result import TickResult
from sslctl.rules import singapore
from sslctl.rules.model import MaintenancePause
from sslctl.rules.reasons import Status
from sslctl.rules.renewal import Alert


@click.command("daemon-tick")
@click.option("--force", is_flag=True, help="Repeat the daily recheck even if it was done today.")
@click.option("--dry-run", is_flag=True, help="Only print what is due, and why.")
@click.option(
    "--now",
    type=moment,
    metavar="TIME",
    help="With --dry-run: print what is due at this time (Singapore time, or RFC 3339).",
)
@click.option("-q", "--quiet", is_flag=True, help="Print nothing if all is well.")
@json_option
@click.pass_obj
def command(app: App, *, force: bool, dry_run: bool, now: datetime | None, quiet: bool, as_json: bool) -> int:
    """Run everything that is due. cron runs this every 5 minutes.

    Renews certificates from 7 days before their expiry on, retries uploads that C4 did not take, and once a day, from
    00:00 Singapore time on, rechecks all domains of source c4 in Failure, Pending or Expired. The next run makes up for
    a missed midnight. While another tick runs, this one does nothing, prints so, and ends with 0.
    """
    if now is not None and not dry_run:
        raise click.UsageError("--now goes with --dry-run")
    app.only_reads = dry_run
    if dry_run:
        at = now or app.clock()
        _print_plan(app.plan(at, force=force), at, app.store.maintenance_pause(at), as_json=as_json)
        return Exit.OK
    try:
        result = app.tick(partial(run_passes, app, print_each=False)).run(force=force)
    except TickRuns as running:
        _print_skipped(running, app.clock(), quiet=quiet, as_json=as_json)
        return Exit.OK
    if as_json:
        _print_json(app, result)
    elif not quiet or result.needs_attention:
        _print_text(app, result)
    return result.exit_code


def _print_plan(plan: Plan, at: datetime, maintenance: MaintenancePause | None, *, as_json: bool) -> None:
    if as_json:
        planned = ({"domain": task.name, "work": task.due.work, "why": task.due.why} for task in plan.tasks)
        write_json_list(
            json_shapes.envelope(
                at=json_shapes.instant(at),
                held_renewals=plan.held,
                maintenance=json_shapes.maintenance(maintenance),
            ),
            "planned",
            planned,
        )
        return
    write_lines(f"{task.name}: {task.due.work}, because {task.due.why}" for task in plan.tasks)
    write_lines(warnings.maintenance_lines(maintenance))
    write_lines(_held_lines(plan.held))
    write_line(f"{singapore.format_sgt(at)}: {len(plan.tasks)} due; nothing was done (--dry-run)")


def _print_skipped(running: TickRuns, at: datetime, *, quiet: bool, as_json: bool) -> None:
    if as_json:
        write_json_list(
            json_shapes.envelope(at=json_shapes.instant(at), skipped=running.message), "domains", ()
        )
    elif not quiet:
        write_line(f"{singapore.format_sgt(at)}: nothing was done, because {running.message}")


def _print_json(app: App, result: TickResult) -> None:
    answer = json_shapes.envelope(
        at=json_shapes.instant(result.at),
        ca_alerts=list(map(json_shapes.alert, result.alerts)),
        ca_pauses=list(map(json_shapes.pause, result.pauses)),
        held_renewals=result.held_renewals,
        managed={status.value: result.counts.get(status, 0) for status in Status},
        **json_shapes.notices(result.notices),
        pinged=result.pinged,
        skipped=None,
        lost_on_c4=result.lost,
        new_warnings=dict(sorted(result.warned.items())),
        look_trouble=result.look_trouble or None,
        maintenance=json_shapes.maintenance(result.maintenance),
        withheld=list(map(json_shapes.withheld, result.withheld)),
    )
    write_json_list(answer, "domains", domains_json(app.store, result.names, result.errors, result.at))


def _print_text(app: App, result: TickResult) -> None:
    unwell = len(result.unwell)
    done = (
        f"{result.ended} due, {result.ended - unwell} now well, {unwell} not"
        if result.ended
        else "nothing due"
    )
    write_line(f"{singapore.format_sgt(result.at)}: {done}; {_managed(result.counts)}")
    write_lines(_warnings(result))
    names = [name for name in result.unwell if name not in result.errors]
    write_unwell(app.store.domains_named(names), len(names), result.at)


def _managed(counts: Mapping[Status, int]) -> str:
    by_status = ", ".join(f"{counts[status]} {status}" for status in reversed(Status) if status in counts)
    return f"{sum(counts.values())} managed{': ' if by_status else ''}{by_status}"


def _warnings(result: TickResult) -> Iterator[str]:
    yield from warnings.maintenance_lines(result.maintenance)
    yield from (each.describe() for each in result.withheld)
    if result.look_trouble:
        blind = " Domains were not looked at for days." if result.is_blind else ""
        yield f"The daily look at C4 was not finished; the next tick continues: {result.look_trouble}.{blind}"
    if result.lost:
        when = "the tick uploads them again" if result.maintenance is None else "their upload is paused"
        yield f"C4 had lost the certificates of {result.lost} domains; {when}"
    if result.warned:
        codes = ", ".join(f"{number} {code}" for code, number in sorted(result.warned.items()))
        yield f"Domains with a new warning: {codes}; `sslctl list` shows them"
    yield from map(_alert_line, result.alerts)
    yield from warnings.pause_lines(result.pauses)
    yield from _held_lines(result.held_renewals)
    yield from warnings.notice_lines(result.notices)
    if result.ping_error:
        yield f"The ping of notify.ping_url failed: it {result.ping_error}"


def _alert_line(alert: Alert) -> str:
    what = "1 certificate" if alert.domains == 1 else f"{alert.domains} certificates"
    window = f"{singapore.format_sgt(alert.start_at)} to {singapore.format_sgt(alert.end_at)}"
    return f"The CA wants {what} replaced early, from {window}: {alert.explanation_url or 'no reason given'}"


def _held_lines(held: int) -> Iterator[str]:
    if held:
        yield f"{held} renewals are postponed until tomorrow, because of renewal.max_per_day"
