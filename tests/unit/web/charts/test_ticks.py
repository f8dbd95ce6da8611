"""Ticks of axes: round numbers, and Mondays or first days of months."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslctl.web.charts.ticks import day_ticks, number_ticks

DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("highest", "ticks"),
    [
        (0, [0, 1]),
        (1, [0, 1]),
        (4, [0, 1, 2, 3, 4]),
        (5, [0, 2, 4, 6]),
        (9, [0, 5, 10]),
        (100, [0, 50, 100]),
        (2911, [0, 1000, 2000, 3000]),
    ],
)
def test_number_ticks_are_round(highest: int, ticks: list[int]) -> None:
    assert number_ticks(highest) == ticks


@given(st.integers(0, 10**15))
def test_number_ticks_reach_just_above_the_highest_number_in_equal_steps(highest: int) -> None:
    ticks = number_ticks(highest)
    step = ticks[1]
    assert 2 <= len(ticks) <= 5
    assert ticks == list(range(0, ticks[-1] + 1, step))
    assert str(step).rstrip("0") in {"1", "2", "5"}
    assert max(highest, 1) <= ticks[-1] < max(highest, 1) + step


@settings(max_examples=40)
@given(st.dates(date(2020, 1, 1), date(2030, 1, 1)), st.integers(1, 20_000), st.integers(2, 12))
def test_day_ticks_are_few_of_the_days_in_order(first: date, number: int, most: int) -> None:
    days = [first + place * DAY for place in range(number)]
    ticks = day_ticks(days, most)
    assert len(ticks) <= most
    assert ticks == sorted(set(ticks))
    assert set(ticks) <= set(days)


def test_day_ticks_are_mondays_and_then_first_days_of_months() -> None:
    def ticks(number: int) -> list[date]:
        return day_ticks([date(2026, 11, 28) + place * DAY for place in range(number)], 5)

    assert ticks(3) == [date(2026, 11, 28), date(2026, 11, 29), date(2026, 11, 30)]
    assert ticks(30)[:2] == [date(2026, 11, 30), date(2026, 12, 7)]
    assert ticks(90)[:2] == [date(2026, 11, 30), date(2026, 12, 28)]
    assert ticks(400) == [
        date(2027, 1, 1),
        date(2027, 4, 1),
        date(2027, 7, 1),
        date(2027, 10, 1),
        date(2028, 1, 1),
    ]
