"""A length of time as people write it: `14d`, `12h`, `30m` or `2w`."""

from __future__ import annotations

import re
from datetime import timedelta

from sslctl.errors import BadInput, Problem
from sslctl.text import clean

_DURATION = re.compile(r"([0-9]{1,5})([mhdw])", re.ASCII)
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_duration(text: str) -> timedelta:
    """Return the length of time in `text`. Raise `BadInput` if it is none."""
    match = _DURATION.fullmatch(text)
    if match is None:
        shown = clean(text)
        raise BadInput(
            f"{shown!r} is not a duration; write 14d, 12h, 30m or 2w",
            problem=Problem("duration.unreadable", {"text": shown}),
        )
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def format_duration_option(length: timedelta) -> str:
    """Return `length` as `parse_duration` reads it, in whole minutes: `14d`, `12h` or `30m`."""
    minutes = length // timedelta(minutes=1)
    for unit, size in (("d", 1440), ("h", 60)):
        if minutes % size == 0:
            return f"{minutes // size}{unit}"
    return f"{minutes}m"
