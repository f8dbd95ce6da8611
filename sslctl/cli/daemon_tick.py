"""`sslctl daemon-tick`."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

import click

from sslctl.app import App
from sslctl.cli.options import json_option, moment
from sslctl.cli.output import json_shapes, warnings
from sslctl.cli.output.outcomes import domains_json
from sslctl.cli.output.progress import print_notice
from sslctl.cli.output.reported_file import read_printed, write_printed
from sslctl.cli.output.stdout import write_json_list, write_line, write_lines
from sslctl.cli.output.tick_report import (
    clock_lines,
    find_errors,
    find_facts,
    find_lasting,
    held_lines,
    print_errors,
    write_news,
    write_tick,
)
from sslctl.cli.reported import read_all, write_all
from sslctl.config.settings import Config
from sslctl.errors import Exit, SslctlError
from sslctl.fleet.one_tick import TickRuns
from sslctl.fleet.planning import Plan
from sslctl.fleet.tick_result import BesideResult, TickResult
from sslctl.issuance.consent import NO_CONSENT, Consent
from sslctl.issuance.report import Report
from sslctl.issuance.work import Sharing
from sslctl.rules import singapore, wrong_clock
from sslctl.rules.model import MaintenancePause
from sslctl.rules.reasons import Status
from sslctl.rules.reported import Fact, Kind, find_news
from sslctl.system.limits import explain
from sslctl.text import clean

_DIGITS = re.compile(r"\d+")
_FAILED = "the failed tick"
_METRICS = "the metrics file"


@click.command("daemon-tick")
@click.option("--force", is_flag=True, help="Repeat the daily recheck even if it was done today.")
@click.option("--dry-run", is_flag=True, help="Only print what is due, and why.")
@click.option(
    "--now",
    type=moment,
    metavar="TIME",
    help="With --dry-run: print what is due at this time (Singapore time, or RFC 3339).",
)
@click.option("-q", "--quiet", is_flag=True, help="Print only what was not printed with -q in the last day.")
@click.option(
    "--metrics-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write metrics for Prometheus into FILE at the end, however the tick ends (see `sslctl metrics`).",
)
@json_option
@click.pass_obj
def command(
    app: App,
    *,
    force: bool,
    dry_run: bool,
    now: datetime | None,
    quiet: bool,
    metrics_file: Path | None,
    as_json: bool,
) -> int:
    """Run everything that is due. cron runs this every 5 minutes.

    Renews certificates from 7 days before their expiry on, retries uploads that C4 did not take, and once a day, from
    00:00 Singapore time on, rechecks all domains of source c4 in Failure, Pending or Expired. The next run makes up for
    a missed midnight. While another tick runs, this one does nothing, prints so, and ends with 0. Beside a tick of
    another machine, with the state in PostgreSQL, it takes a share of what is due.
    """
    if now is not None and not dry_run:
        raise click.UsageError("--now goes with --dry-run")
    if metrics_file is not None and dry_run:
        raise click.UsageError("--metrics-file does not go with --dry-run")
    app.only_reads = dry_run
    if dry_run:
        at = now or app.clock()
        _print_plan(app.plan(at, force=force), at, app.store.maintenance_pause(at), as_json=as_json)
        return Exit.OK
    if metrics_file is None:
        return _run(app, force=force, quiet=quiet, as_json=as_json)
    try:
        exit_code = _run(app, force=force, quiet=quiet, as_json=as_json)
    except click.Abort:
        raise
    except Exception:
        _write_metrics(app, metrics_file, is_quiet=quiet and not as_json)
        raise
    is_written = _write_metrics(app, metrics_file, is_quiet=quiet and not as_json)
    return exit_code if is_written or exit_code != Exit.OK else Exit.UNUSABLE


def _run(app: App, *, force: bool, quiet: bool, as_json: bool) -> int:
    """Run a tick, print what happened, and return the exit code."""
    is_quiet = quiet and not as_json
    if is_quiet:
        app.on_wait = _ignore
    try:
        result = app.tick(partial(_run_passes, app, print_errors=not is_quiet)).run(force=force)
    except TickRuns as running:
        _print_skipped(running, app.clock(), quiet=quiet, as_json=as_json)
        return Exit.OK
    except (click.Abort, click.ClickException):
        raise
    except Exception as error:
        if not is_quiet or not _is_failure_printed(app, error):
            raise
        known = error if isinstance(error, SslctlError) else explain(error)
        return Exit.BUG if known is None else known.exit_code
    if isinstance(result, BesideResult):
        _print_beside(app, result, quiet=quiet, as_json=as_json)
    elif as_json:
        _print_json(app, result)
    elif quiet:
        _print_news(app, result)
    else:
        write_tick(app.store, result, app.renewal)
    return result.exit_code


def _run_passes(
    app: App,
    names: Sequence[str],
    report: Report,
    *,
    renew: Container[str],
    consent: Consent = NO_CONSENT,
    sharing: Sharing | None = None,
    print_errors: bool,
) -> None:
    from sslctl.cli.run_batch import run_passes  # noqa: PLC0415 - slow to import, and few ticks have passes

    run_passes(
        app,
        names,
        report,
        renew=renew,
        consent=consent,
        sharing=sharing,
        print_each=False,
        print_errors=print_errors,
    )


def _write_metrics(app: App, path: Path, *, is_quiet: bool) -> bool:
    """Write the metrics to `path`; return whether that succeeded. If not, print why: the tick has done its work.

    If `is_quiet`, the same failure is printed once a day.
    """
    # A database that stays locked held up the tick already.
    from sslctl.cli.metrics import read_metrics  # noqa: PLC0415 - needed with --metrics-file only
    from sslctl.metrics.exposition import write_file  # noqa: PLC0415 - likewise

    app.only_reads = True
    try:
        text, _errors = read_metrics(app)
        write_file(path, text, _readable_config(app))
    except Exception as error:  # noqa: BLE001 - a bug here must not change how the tick ends
        if not is_quiet or not _is_failure_printed(app, error, _METRICS):
            if not isinstance(error, SslctlError):
                print_notice(f"the metrics were not written: {clean(error)}")
                return False
            print_notice(error.message)
            if error.hint:
                print_notice(f"hint: {error.hint}")
        return False
    if is_quiet:
        _forget_printed(app, _METRICS)
    return True


def _readable_config(app: App) -> Config | None:
    """Return the configuration, None if it cannot be used: then the tick has failed for that reason."""
    try:
        return app.config
    except SslctlError:
        return None


def _ignore(_message: str) -> None:
    """Print no notice of a wait: a wait that was in vain ends with an error."""


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
    write_lines(held_lines(plan.held))
    write_line(f"{singapore.format_sgt(at)}: {len(plan.tasks)} due; nothing was done (--dry-run)")


def _print_skipped(running: TickRuns, at: datetime, *, quiet: bool, as_json: bool) -> None:
    if as_json:
        write_json_list(
            json_shapes.envelope(at=json_shapes.instant(at), skipped=running.message, clock_trouble=None),
            "domains",
            (),
        )
    elif not quiet:
        write_line(f"{singapore.format_sgt(at)}: nothing was done, because {running.message}")


def _print_beside(app: App, result: BesideResult, *, quiet: bool, as_json: bool) -> None:
    """Print what a tick did beside another one, which reports the state of the fleet; if `quiet`, only what that one cannot know."""
    of_clock = list(clock_lines(result.clock_ahead))
    if as_json:
        fields = json_shapes.envelope(
            at=json_shapes.instant(result.at),
            skipped=result.lead,
            clock_trouble=wrong_clock.find_trouble(result.clock_ahead) or None,
        )
        write_json_list(fields, "domains", domains_json(app.store, result.names, result.errors, result.at))
    elif not quiet:
        well = result.ended - len(result.unwell)
        write_line(
            f"{singapore.format_sgt(result.at)}: {result.ended} due domains were worked on beside it, {well} of them well now; "
            f"{result.lead}"
        )
        write_lines(text for _, text in of_clock)
    else:
        folder, facts = app.config.state.dir, [*find_errors(result), *(fact for fact, _ in of_clock)]
        before = read_printed(folder)
        known = {fact.subject: before[fact.subject] for fact in facts if fact.subject in before}
        news = find_news(known, facts, (), result.at)
        subjects = {fact.subject for fact in news.facts}
        print_errors(result, subjects)
        write_lines(text for fact, text in of_clock if fact.subject in subjects)
        if news.after != known:
            write_printed(folder, {**before, **news.after})


def _print_json(app: App, result: TickResult) -> None:
    answer = json_shapes.envelope(
        at=json_shapes.instant(result.at),
        ca_alerts=list(map(json_shapes.alert, result.alerts)),
        ca_pauses=list(map(json_shapes.pause, result.pauses)),
        held_renewals=result.held_renewals,
        managed={status.value: result.counts.get(status, 0) for status in Status},
        **json_shapes.notices(result.notices),
        pinged=result.pinged,
        edge_troubles=[trouble.title for trouble in result.edge_troubles],
        other_ca_troubles=[trouble.title for trouble in result.other_cas],
        webhook_error=result.webhook_error or None,
        skipped=None,
        lost_on_c4=result.lost,
        new_warnings=dict(sorted(result.warned.items())),
        clock_trouble=wrong_clock.find_trouble(result.clock_ahead) or None,
        look_trouble=result.look_trouble or None,
        maintenance=json_shapes.maintenance(result.maintenance),
        inventory={
            "unmanaged": result.inventory.unmanaged,
            "new": result.inventory.new,
            "first": list(result.inventory.first),
            "trouble": result.inventory.trouble or None,
        },
        customers_withheld=0 if result.withheld_customers is None else result.withheld_customers.domains,
        withheld=list(map(json_shapes.withheld, result.withheld)),
    )
    write_json_list(answer, "domains", domains_json(app.store, result.names, result.errors, result.at))


def _print_news(app: App, result: TickResult) -> None:
    """Print what was not printed in the last day, and what is over."""
    before, facts = read_all(app), find_facts(app.store, result)
    news = find_news(before, facts, find_lasting(app.store, result, facts, before), result.at)
    if news.facts or news.over:
        write_news(app.store, result, app.renewal, facts, news)
    if news.after != before:
        write_all(app, news.after)


def _forget_printed(app: App, subject: str) -> None:
    """Forget that `subject` was printed: it is news when it comes again."""
    try:
        folder = app.config.state.dir
    except SslctlError:
        return
    before = read_printed(folder)
    if subject in before:
        write_printed(folder, {each: printed for each, printed in before.items() if each != subject})


def _is_failure_printed(app: App, error: Exception, failed: str = _FAILED) -> bool:
    """Return whether the same failure of what `failed` was printed in the last day; note that it is printed now if not."""
    # Ticks that fail for the same reason name other processes and times.
    state = f"{type(error).__name__}: {_DIGITS.sub('0', clean(error))}"
    return _is_printed(app, Fact(Kind.FLEET, failed, state))


def _is_printed(app: App, fact: Fact) -> bool:
    """Return whether `fact` was printed in the last day; note that it is printed now if not.

    If the configuration cannot be read, it is not known where that would be noted.
    """
    try:
        folder = app.config.state.dir
    except SslctlError:
        return False
    before = read_printed(folder)
    known = {subject: printed for subject, printed in before.items() if subject == fact.subject}
    news = find_news(known, [fact], (), app.clock())
    after = {**before, **news.after}
    if after != before:
        write_printed(folder, after)
    return not news.facts
