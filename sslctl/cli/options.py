"""The kinds of values that several commands take, and the options they share."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

import click
from dateutil import parser

from sslctl.rules.singapore import SGT
from sslctl.text import clean

Function = TypeVar("Function", bound=Callable[..., Any])

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
# Nearer to the ends of the calendar a time zone or a week more or less has no date.
_YEARS = range(1970, 9000)


def duration(text: str) -> timedelta:
    """Read a length of time: `14d`, `12h`, `30m` or `2w`. Raises `click.BadParameter`."""
    match = re.fullmatch(r"([0-9]{1,5})([mhdw])", text)
    if match is None:
        raise click.BadParameter(f"{clean(text)!r} is no length of time; write 14d, 12h, 30m or 2w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def moment(text: str) -> datetime:
    """Read a time, RFC 3339, or a date and time of day in Singapore time; aware, to the second.

    Raises `click.BadParameter`.
    """
    try:
        at = parser.isoparse(text.strip().replace(" ", "T"))
    except ValueError as error:
        raise click.BadParameter(
            f"{clean(text)!r} is no time; write 2026-12-01, '2026-12-01 00:05' or 2026-12-01T00:05:00Z"
        ) from error
    if at.year not in _YEARS:
        raise click.BadParameter(f"{clean(text)!r} is too far away")
    return (at if at.tzinfo else at.replace(tzinfo=SGT)).replace(microsecond=0)


def json_option(function: Function) -> Function:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Write one JSON object (docs/json.md).")(
        function
    )
