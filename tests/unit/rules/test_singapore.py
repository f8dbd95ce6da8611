"""Singapore time, and durations in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslctl.rules.singapore import format_duration, next_midnight


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis adds the zone
def test_next_midnight_is_midnight_in_singapore_within_a_day(at: datetime) -> None:
    midnight = next_midnight(at)
    assert timedelta(0) < midnight - at <= timedelta(days=1)
    assert (midnight.hour, midnight.minute, midnight.second, midnight.microsecond) == (16, 0, 0, 0)


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(days=9, hours=23), "9 days"),
        (timedelta(days=1), "1 day"),
        (timedelta(minutes=61), "1 hour"),
        (timedelta(seconds=59), "59 seconds"),
        (timedelta(0), "0 seconds"),
    ],
    ids=str,
)
def test_format_duration_rounds_down_to_one_unit(length: timedelta, text: str) -> None:
    assert format_duration(length) == text
