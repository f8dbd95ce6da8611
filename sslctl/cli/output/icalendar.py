"""Calendars in the format iCalendar (RFC 5545), which calendar programs import."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain
from typing import NamedTuple
from uuid import NAMESPACE_URL, uuid5

from sslctl.cli.output.stdout import blocks
from sslctl.text import instant

_LONGEST_LINE = 75
_HEAD = ("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//sslctl//sslctl export//EN", "CALSCALE:GREGORIAN")
_END = ("END:VCALENDAR",)
# A calendar has at least one component (section 3.6). This one shows nothing.
_NOTHING = (
    "BEGIN:VTIMEZONE", "TZID:Etc/UTC", "BEGIN:STANDARD", "DTSTART:19700101T000000", "TZOFFSETFROM:+0000",
    "TZOFFSETTO:+0000", "END:STANDARD", "END:VTIMEZONE",
)  # fmt: skip
# The second and later octets of a character in UTF-8.
_CONTINUATION = range(0x80, 0xC0)
_ESCAPED = str.maketrans({"\\": "\\\\", ";": "\\;", ",": "\\,", "\n": "\\n"})
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


class Entry(NamedTuple):
    """An entry of a calendar: something that happens at the time `at`, and takes no time.

    A program that imports the calendar again replaces the entry of the same `identity` if `stamp`, the time of this version of
    the entry, is later. The lines of `description` are separated by LF.
    """

    identity: str
    stamp: datetime
    at: datetime
    summary: str
    description: str


def calendar_texts(entries: Iterable[Entry]) -> Iterator[str]:
    """Yield a calendar of `entries`, in blocks."""
    found = blocks(entries)
    first = next(found, None)
    yield _lines(_HEAD)
    if first is None:
        yield _lines(_NOTHING)
    else:
        for block in chain([first], found):
            yield "".join(_lines(_event(entry)) for entry in block)
    yield _lines(_END)


def _event(entry: Entry) -> Iterator[str]:
    yield "BEGIN:VEVENT"
    yield f"UID:{uuid5(NAMESPACE_URL, f'sslctl:{entry.identity}')}"
    yield f"DTSTAMP:{_time(entry.stamp)}"
    # Some programs compare this number (section 3.8.7.4) and not the time. As minutes it fits into 32 bits.
    yield f"SEQUENCE:{max(0, int(entry.stamp.timestamp()) // 60)}"
    yield f"DTSTART:{_time(entry.at)}"
    yield f"SUMMARY:{_text(entry.summary)}"
    yield f"DESCRIPTION:{_text(entry.description)}"
    # Nobody is busy because of it.
    yield "TRANSP:TRANSPARENT"
    yield "END:VEVENT"


def _time(at: datetime) -> str:
    """Return an aware time as UTC (section 3.3.5): `20261123T160000Z`."""
    return instant(at).replace("-", "").replace(":", "")


def _text(value: str) -> str:
    """Return `value` as TEXT (section 3.3.11)."""
    return _CONTROLS.sub(" ", value).translate(_ESCAPED)


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{_fold(line)}\r\n" for line in lines)


def _fold(line: str) -> str:
    """Return `line` in lines of at most 75 octets (section 3.1). No character is divided."""
    octets = line.encode(errors="replace")
    if len(octets) <= _LONGEST_LINE:
        return line
    parts, start, room = [], 0, _LONGEST_LINE
    while start < len(octets):
        end = start + room
        while end < len(octets) and octets[end] in _CONTINUATION:
            end -= 1
        parts.append(octets[start:end].decode())
        # Each line from the second one on begins with a space.
        start, room = end, _LONGEST_LINE - 1
    return "\r\n ".join(parts)
