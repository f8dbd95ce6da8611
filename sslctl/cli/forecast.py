"""`sslctl forecast`."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import click

from sslctl.app import App
from sslctl.cli.options import duration, json_option
from sslctl.cli.output import chart, json_shapes
from sslctl.cli.output.stdout import write_csv, write_json, write_line, write_lines
from sslctl.cli.output.width import paragraph, terminal_width
from sslctl.fleet import spreading
from sslctl.fleet.spreading import FleetCounts
from sslctl.rules import forecast, renewal_days
from sslctl.rules.forecast import Forecast, Scenario

_DAY = timedelta(days=1)
_LONGEST_LIFETIME = timedelta(days=400)
_BUSIEST = 3
_CSV = ("day", "orders", "renewals", "early", "late", "over", "new", "waiting", "unspread")


def _lifetime(_context: click.Context, _option: click.Parameter, text: str | None) -> timedelta | None:
    if text is None:
        return None
    value = duration(text)
    if not _DAY <= value <= _LONGEST_LIFETIME:
        raise click.BadParameter("a lifetime is from 1d to 400d")
    return value


@click.command("forecast")
@click.option(
    "--days",
    type=click.IntRange(1, 730),
    default=90,
    show_default=True,
    metavar="N",
    help="The number of days to forecast, including today.",
)
@click.option(
    "--lifetime",
    callback=_lifetime,
    metavar="TIME",
    help="Assume this lifetime, such as 45d, for every certificate issued from now on.",
)
@click.option(
    "--add",
    "added",
    type=click.IntRange(0, 10_000_000),
    default=0,
    metavar="N",
    help="Assume that N more domains are added today; they are ordered as fast as the CA's limits allow.",
)
@click.option(
    "--max-per-day",
    type=click.IntRange(0, 10_000_000),
    metavar="N",
    help="Assume that renewal.max_per_day is N; 0 for no limit.",
)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, one row for each day.")
@json_option
@click.pass_obj
def command(
    app: App,
    *,
    days: int,
    lifetime: timedelta | None,
    added: int,
    max_per_day: int | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Show how many orders the coming days bring, and whether that fits the limits.

    The forecast starts from the domains managed now and assumes that every order succeeds. Days begin at 00:00 Singapore
    time. Certificates are renewed when they are due, or earlier to stay within renewal.max_per_day. New domains wait for
    the CA's limit of new orders; renewals are exempt from it, unless the last certificate was issued too long ago
    (limits.renewal_days).
    """
    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other")
    app.only_reads = True
    now = app.clock()
    today, limits = renewal_days.day_of(now), app.config.ca_limits
    counts = spreading.count_fleet(app.store, now, app.renewal.before, limits.renewable_for)
    scenario = Scenario(
        today,
        days,
        app.renewal.before,
        new=counts.queued + added,
        renewed=app.store.renewed_since(renewal_days.start_of(today)),
        budget=(app.config.renewal.max_per_day if max_per_day is None else max_per_day) or None,
        new_a_day=None if limits.orders is None else limits.orders.per_day,
        lifetime=lifetime,
    )
    found = forecast.make_forecast(counts.fleet, scenario)
    if as_json:
        write_json(_json(found, counts, now))
    elif as_csv:
        write_csv([_CSV, *(row.values() for row in _rows(found))])
    elif not counts.fleet and not scenario.new:
        click.echo(_nothing(counts), err=True)
    else:
        _print(found, counts)


def _rows(found: Forecast) -> list[dict[str, Any]]:
    return [
        {
            "day": str(date.fromordinal(day.day)),
            "orders": day.orders,
            "renewals": day.renewals,
            "early": day.early,
            "late": day.late,
            "over": found.scenario.beyond_budget(day),
            "new": day.new,
            "waiting": day.waiting,
            "unspread": unspread,
        }
        for day, unspread in zip(found.days, found.unspread, strict=True)
    ]


def _json(found: Forecast, counts: FleetCounts, now: datetime) -> dict[str, Any]:
    return json_shapes.envelope(
        at=json_shapes.instant(now),
        fits=found.fits,
        breaks_on=found.breaks_on and str(found.breaks_on),
        verdict=" ".join(forecast.summarise(found)),
        max_per_day=found.scenario.budget,
        enough=found.enough,
        new_per_day=found.scenario.new_a_day,
        certificates=sum(counts.fleet.values()),
        queued=counts.queued,
        failing=counts.failing,
        days=_rows(found),
    )


def _print(found: Forecast, counts: FleetCounts) -> None:
    scenario = found.scenario
    days = f"{forecast.count(scenario.days, 'day')} from {date.fromordinal(scenario.today)}"
    certificates = forecast.count(sum(counts.fleet.values()), "certificate")
    new = forecast.count(scenario.new, "new domain")
    write_line(paragraph(f"Orders a day, {days}: {certificates}, {new}"))
    write_line("")
    write_lines(chart.draw(found, terminal_width()))
    write_line("")
    for sentence in [*_figures(found), *forecast.summarise(found), *_failing(counts)]:
        write_line(paragraph(sentence))


def _figures(found: Forecast) -> list[str]:
    days = found.days
    early = sum(day.early for day in days)
    renewals, new = sum(day.renewals for day in days), sum(day.new for day in days)
    busiest = "; ".join(f"{date.fromordinal(day.day)} with {day.orders:,}" for day in found.busiest(_BUSIEST))
    of_them = f", {early:,} of them early" if early else ""
    figures = [
        f"Total: {forecast.count(renewals, 'renewal')}{of_them}, and {forecast.count(new, 'new domain')}."
    ]
    return [*figures, f"Busiest days: {busiest}."] if busiest else figures


def _failing(counts: FleetCounts) -> list[str]:
    if not counts.failing:
        return []
    return [
        f"Not counted: {forecast.count(counts.failing, 'failing domain')}; each needs one order when it is repaired."
    ]


def _nothing(counts: FleetCounts) -> str:
    nothing = "Nothing to forecast: no certificate of source c4 is managed here. Use `--add N` to forecast N new domains."
    return " ".join([nothing, *_failing(counts)])
