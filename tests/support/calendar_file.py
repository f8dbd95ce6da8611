"""A reader of iCalendar (RFC 5545) that accepts nothing but what the standard allows."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Self

_LINE = re.compile(r"([A-Z-]+):(.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_TEXTS = frozenset({"SUMMARY", "DESCRIPTION"})


@dataclass
class Component:
    """A component of a calendar: its properties, of which TEXT is without its escapes, and the components in it."""

    kind: str
    properties: dict[str, str] = field(default_factory=dict)
    inside: list[Self] = field(default_factory=list)

    @property
    def events(self) -> dict[str, dict[str, str]]:
        """The properties of the events, by summary."""
        return {each.properties["SUMMARY"]: each.properties for each in self.inside if each.kind == "VEVENT"}


def read_calendar(content: bytes) -> Component:
    """Return the calendar in `content`."""
    assert content.endswith(b"\r\n")
    lines = content.removesuffix(b"\r\n").split(b"\r\n")
    assert max(map(len, lines)) <= 75
    # Each line by itself is valid UTF-8: no character is divided.
    unfolded = "\r\n".join(line.decode() for line in lines).replace("\r\n ", "").split("\r\n")
    open_components = [Component("")]
    for line in unfolded:
        assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f]", line)
        match = _LINE.fullmatch(line)
        assert match is not None, line
        name, value = match.groups()
        if name == "BEGIN":
            component = Component(value)
            open_components[-1].inside.append(component)
            open_components.append(component)
        elif name == "END":
            assert open_components.pop().kind == value
        else:
            properties = open_components[-1].properties
            assert name not in properties
            properties[name] = _unescape(value) if name in _TEXTS else value
    (calendar,) = open_components.pop().inside
    assert not open_components
    assert (calendar.kind, calendar.properties["VERSION"]) == ("VCALENDAR", "2.0")
    assert calendar.inside
    return calendar


def _unescape(value: str) -> str:
    assert not re.search(r"[;,]", _ESCAPE.sub("", value))
    assert set(_ESCAPE.findall(value)) <= set("\\;,nN")
    return _ESCAPE.sub(lambda match: "\n" if match[1] in "nN" else match[1], value)
