"""`sslctl snooze`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import BinaryIO

import click

from sslctl.app import App
from sslctl.cli import remarks
from sslctl.cli.completion_names import complete_name
from sslctl.cli.name_lists import from_file_option
from sslctl.cli.options import json_option, parse_end
from sslctl.rules.model import Domain
from sslctl.rules.remarks import Remarks
from sslctl.rules.singapore import format_both
from sslctl.rules.snoozing import LAST_DAYS, latest_end, make_snooze, require_end


@click.command("snooze")
@click.argument("domains", metavar="[DOMAIN]...", nargs=-1, shell_complete=complete_name)
@click.option(
    "--until",
    metavar="DATE",
    help="The end: 3d, 2026-12-01, 'tomorrow 06:00', or a date and time (Singapore time, or RFC 3339).",
)
@click.option("--clear", is_flag=True, help="End the snoozes of the domains.")
@from_file_option
@json_option
@click.pass_obj
def command(
    app: App,
    *,
    domains: tuple[str, ...],
    until: str | None,
    clear: bool,
    from_file: BinaryIO | None,
    as_json: bool,
) -> int:
    """Leave domains with known trouble out of the messages to people until DATE, at most 90 days.

    A snooze ends before DATE if the status gets worse, if a new reason or warning is found, if the domain recovers, and in the
    last 3 days before what is served expires. Ticks go on to check and to renew the domain.
    """
    if clear == (until is not None):
        raise click.UsageError("give --until DATE or --clear")
    now = app.clock()
    end = None if until is None else _end(until, now)
    return remarks.record(app, domains, from_file, _change(end, now), _describe, as_json=as_json)


def _end(until: str, now: datetime) -> datetime:
    try:
        end = parse_end(until, now)
    except click.BadParameter as error:
        raise click.BadParameter(error.message, param_hint="--until") from error
    require_end(end, now)
    return end


def _change(end: datetime | None, now: datetime) -> Callable[[Domain], Remarks]:
    def change(domain: Domain) -> Remarks:
        return replace(domain.remarks, snooze=None if end is None else make_snooze(domain, end, now))

    return change


def _describe(domain: Domain) -> str:
    snooze = domain.remarks.snooze
    if snooze is None:
        return "not snoozed"
    latest = latest_end(domain, snooze)
    line = f"snoozed until {format_both(snooze.until)}"
    if latest == snooze.until:
        return line
    return f"{line}, at the latest until {format_both(latest)}, {LAST_DAYS.days} days before its certificate expires"
