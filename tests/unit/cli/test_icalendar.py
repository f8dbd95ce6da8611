"""Calendars: any text comes back whole, in lines that the standard allows."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslctl.cli.output.icalendar import Entry, calendar_texts
from tests.support.calendar_file import read_calendar

NOW = datetime(2026, 11, 23, 4, tzinfo=UTC)


def written(summary: str, at: datetime = NOW, description: str = "") -> dict[str, str]:
    """Return the properties of the only event of a calendar."""
    content = "".join(calendar_texts([Entry("one", NOW, at, summary, description)])).encode()
    (event,) = read_calendar(content).inside
    return event.properties


@given(st.text(st.characters(codec="utf-8"), max_size=300))
def test_any_text_comes_back_with_spaces_for_control_characters(text: str) -> None:
    expected = re.sub(r"[\x00-\x09\x0b-\x1f\x7f]", " ", text)
    assert written(text)["SUMMARY"] == expected
    assert written("x", description=text)["DESCRIPTION"] == expected


@pytest.mark.parametrize("shift", range(4))
@pytest.mark.parametrize("character", ["a", "é", "客", "😀"])
def test_line_is_as_long_as_possible_and_divides_no_character(shift: int, character: str) -> None:
    text = "x" * shift + character * 200
    assert written(text)["SUMMARY"] == text
    content = "".join(calendar_texts([Entry("one", NOW, NOW, text, "")])).encode()
    (folded,) = re.findall(rb"SUMMARY:[^\r]*(?:\r\n [^\r]*)*", content)
    lines = folded.split(b"\r\n")
    assert min(map(len, lines[:-1])) > 75 - len(character.encode())


def test_text_cannot_begin_a_property_or_an_event() -> None:
    event = written("x\r\nEND:VEVENT\r\nBEGIN:VALARM", description="a\nSUMMARY:b\\n;,")
    assert event["SUMMARY"] == "x \nEND:VEVENT \nBEGIN:VALARM"
    assert event["DESCRIPTION"] == "a\nSUMMARY:b\\n;,"


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (datetime(987, 1, 2, 3, 4, 5, tzinfo=UTC), "09870102T030405Z"),
        (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), "99991231T235959Z"),
    ],
)
def test_time_of_any_certificate_has_four_digits_for_the_year(at: datetime, expected: str) -> None:
    assert written("x", at)["DTSTART"] == expected
