"""Option types and options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

import click
from dateutil import parser

from sslctl.cli.output.stdout import expect_json
from sslctl.rules.singapore import SGT
from sslctl.text import clean

Function = TypeVar("Function", bound=Callable[..., Any])

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
# Near the ends of the calendar, adding a time zone or a week would overflow.
_YEARS = range(1970, 9000)


def duration(text: str) -> timedelta:
    """Return the duration in `text`: `14d`, `12h`, `30m` or `2w`. Raise `click.BadParameter` if it is none."""
    match = re.fullmatch(r"([0-9]{1,5})([mhdw])", text)
    if match is None:
        raise click.BadParameter(f"{clean(text)!r} is not a duration; write 14d, 12h, 30m or 2w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def moment(text: str) -> datetime:
    """Return the aware time in `text`, to the second: RFC 3339, or a date and time without a zone in Singapore time.

    Raise `click.BadParameter` if it is none, or not between the years 1970 and 9000.
    """
    try:
        at = parser.isoparse(text.strip().replace(" ", "T"))
    except ValueError as error:
        raise click.BadParameter(
            f"{clean(text)!r} is not a time; write 2026-12-01, '2026-12-01 00:05' or 2026-12-01T00:05:00Z"
        ) from error
    if at.year not in _YEARS:
        raise click.BadParameter(f"{clean(text)!r} is not between the years 1970 and 9000")
    return (at if at.tzinfo else at.replace(tzinfo=SGT)).replace(microsecond=0)


def parse_end(text: str, now: datetime) -> datetime:
    """Return the time in `text`, aware and to the second: a `duration` from `now` on, or a `moment`.

    The date of a `moment` may be `today` or `tomorrow`, in Singapore. Raise `click.BadParameter` if `text` is neither.
    """
    word, _, rest = text.strip().partition(" ")
    if re.fullmatch(r"[0-9]+[a-z]", word) and not rest:
        return now + duration(word)
    days = {"today": 0, "tomorrow": 1}.get(word.lower())
    if days is not None:
        day = (now.astimezone(SGT) + timedelta(days=days)).date()
        text = f"{day.isoformat()} {rest.strip()}".strip()
    try:
        return moment(text)
    except click.BadParameter as error:
        raise click.BadParameter(
            f"{clean(text)!r} is not a time; write 2h, 'tomorrow 06:00', '2026-12-01 06:00' or 2026-12-01T06:00:00Z"
        ) from error


def json_option(function: Function) -> Function:
    """Add the option `--json`. With it an error of the command is written as JSON, too."""
    return click.option(
        "--json",
        "as_json",
        is_flag=True,
        callback=_note_json,
        help="Print one JSON object (docs/json.md).",
    )(function)


def _note_json(context: click.Context, _option: click.Parameter, value: bool) -> bool:  # noqa: FBT001 - click's signature
    if value:
        expect_json(context)
    return value


force_option = click.option(
    "--force",
    is_flag=True,
    help="Install a certificate even if it is worse than the one in service: if it expires sooner, or browsers do not trust it.",
)
