"""The forecast: its verdict, the smallest sufficient budget, and a chart for every width and encoding."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from contextlib import redirect_stdout
from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslctl.cli.output import chart
from sslctl.rules import forecast
from sslctl.rules.forecast import Forecast, Scenario
from sslctl.rules.renewal_days import DayWindow

TODAY = date(2026, 11, 24).toordinal()
LIFE = timedelta(days=90)
WEEK = timedelta(days=7)


def due(in_days: int, lifetime: timedelta = LIFE) -> DayWindow:
    start = TODAY + in_days
    return DayWindow(start + 6, start, start - 38, lifetime)


def ask(fleet: Mapping[DayWindow, int] | None = None, days: int = 30, **more: object) -> Forecast:
    scenario = Scenario(TODAY, days, WEEK, **more)  # type: ignore[arg-type]
    return forecast.make_forecast(Counter(fleet or {}), scenario)


def renewals(found: Forecast) -> dict[int, int]:
    return {day.day - TODAY: day.renewals for day in found.days if day.renewals}


# What the days bring


def test_renewed_certificates_keep_the_lifetime_of_the_old_ones() -> None:
    fleet = {due(0, timedelta(days=45)): 2, due(1): 3}
    assert renewals(ask(fleet, 90)) == {0: 2, 1: 3, 38: 2, 76: 2, 84: 3}


def test_lifetime_option_applies_to_certificates_issued_from_now_on() -> None:
    found = ask({due(5): 3}, 90, new=2, lifetime=timedelta(days=45))
    assert renewals(found) == {5: 3, 38: 2, 43: 3, 76: 2, 81: 3}


def test_new_domains_get_the_most_common_lifetime() -> None:
    fleet = {due(20, timedelta(days=45)): 3, due(21): 2}
    assert renewals(ask(fleet, 50, new=7))[38] == 7
    assert renewals(ask({}, 90, new=7)) == {83: 7}


def test_new_domains_are_limited_by_the_daily_limit_of_the_ca() -> None:
    found = ask(new=5000, new_a_day=2400)
    assert [day.new for day in found.days[:4]] == [2400, 2400, 200, 0]
    assert forecast.summarise(found)[-1] == "The last new domain gets its certificate on 2026-11-26."
    assert forecast.summarise(ask(new=5000, new_a_day=100))[-1] == (
        "The CA accepts 100 new domains a day; on the last day 2,000 domains still wait."
    )


def test_renewals_of_today_use_only_the_budget_of_today() -> None:
    assert renewals(ask({due(1): 4}, budget=2, renewed=1)) == {0: 1, 1: 2, 2: 1}
    assert renewals(ask({due(1): 4}, budget=2)) == {0: 2, 1: 2}


# The verdict


def test_summary_reports_a_fit_and_the_peak_without_spreading() -> None:
    found = ask({due(20): 100}, budget=10)
    assert (found.fits, found.breaks_on, found.enough) == (True, None, None)
    assert forecast.summarise(found) == [
        "It fits: no day has more than 10 renewals, and renewal.max_per_day is 10.",
        "Without spreading, 2026-12-14 would have 100.",
    ]


def test_summary_reports_the_busiest_day_without_a_limit() -> None:
    found = ask({due(3): 70, due(4): 20})
    assert found.fits
    assert forecast.summarise(found) == [
        "No day has more than 70 renewals; renewal.max_per_day sets no limit."
    ]


def test_summary_reports_that_no_renewal_falls_due() -> None:
    assert forecast.summarise(ask({due(300): 70}, days=20)) == ["No renewal is due in these days."]


def test_summary_reports_a_tight_budget_when_renewals_must_wait() -> None:
    found = ask({due(0): 100}, budget=20)
    assert (found.fits, found.breaks_on, found.enough) == (False, None, 100)
    assert forecast.summarise(found)[:2] == [
        (
            "It is tight for a renewal.max_per_day of 20: from 2026-11-24 on, up to 80 renewals are made after their"
            " due day, but before the expiry."
        ),
        "A renewal.max_per_day of 100 would be enough.",
    ]


def test_summary_names_the_day_on_which_the_budget_breaks() -> None:
    found = ask({due(0): 100}, budget=10)
    assert found.breaks_on == date(2026, 11, 30)
    assert not found.fits
    assert forecast.summarise(found)[0] == (
        "It does not fit: from 2026-11-30 on, certificates expire unless more are renewed a day than"
        " renewal.max_per_day, 10; 2026-11-30 needs 30 more."
    )


def test_beyond_budget_counts_renewals_already_made_today() -> None:
    found = ask({due(-6): 5}, budget=10, renewed=8)
    assert [found.scenario.beyond_budget(day) for day in found.days[:2]] == [3, 0]
    # Renewals beyond the budget that were already made today do not affect the coming days.
    assert ask({due(9): 1}, budget=10, renewed=80).fits


@settings(deadline=None)
@given(
    st.dictionaries(st.integers(0, 50).map(due), st.integers(1, 60), max_size=6),
    st.integers(1, 30),
    st.booleans(),
)
def test_enough_is_the_smallest_budget_that_fits(
    fleet: dict[DayWindow, int], budget: int, spent: bool
) -> None:
    found = ask(fleet, 60, budget=budget, renewed=int(spent))
    if found.enough is not None:
        assert ask(fleet, 60, budget=found.enough, renewed=int(spent)).fits
        assert not ask(fleet, 60, budget=found.enough - 1, renewed=int(spent)).fits
    assert (found.enough is None) is found.fits


# The chart


def drawn(found: Forecast, width: int | None = 80, encoding: str = "utf-8") -> list[str]:
    with redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding)):
        return chart.draw(found, width)


def test_chart_bars_are_proportional_and_show_new_domains_after_renewals() -> None:
    found = ask({due(0): 40, due(1): 10, due(2): 1}, 3, new=20)
    assert drawn(found, 38) == [
        "DAY         ORDERS",
        "2026-11-24      60  ██████████▒▒▒▒▒",
        "2026-11-25      10  ███",
        "2026-11-26       1  █",
        "█ renewals   ▒ new domains",
    ]


def test_chart_uses_ascii_when_the_encoding_has_no_block_characters() -> None:
    found = ask({due(0): 40, due(1): 10}, 2, new=20, budget=20)
    lines = drawn(found, 39, "ascii")
    assert lines[1:] == [
        "2026-11-24      40  ########|+++++++",
        "2026-11-25      20  ########|",
        "# renewals   + new domains",
        "| renewal.max_per_day",
    ]
    assert all("\n".join(drawn(found, None, encoding)).isascii() for encoding in ("ascii", "latin-1"))


def test_chart_marks_the_budget_and_the_days_beyond_it() -> None:
    lines = drawn(ask({due(-6): 40, due(1): 10}, 2, budget=20), 39)
    assert lines[1:] == [
        "2026-11-24      40  ████████│███████ !",
        "2026-11-25      10  ████    │",
        "█ renewals   │ renewal.max_per_day",
        "! over it",
    ]


def test_chart_omits_a_budget_far_beyond_all_bars() -> None:
    assert drawn(ask({due(0): 10}, 1, budget=10_000), 38)[1] == "2026-11-24      10  ███████████████"


@pytest.mark.parametrize(
    ("days", "head", "labels"),
    [
        (31, "DAY", ["2026-11-24", "2026-11-25"]),
        (32, "WEEK FROM", ["2026-11-24", "2026-12-01"]),
        (371, "WEEK FROM", ["2026-11-24", "2026-12-01"]),
        (372, "MONTH", ["2026-11", "2026-12"]),
    ],
)
def test_chart_groups_many_days_into_weeks_or_months(days: int, head: str, labels: list[str]) -> None:
    lines = drawn(ask({due(day): 1 for day in range(80)}, days))
    assert lines[0].startswith(head)
    assert [line.split()[0] for line in lines[1:3]] == labels
    totals = [int(line.split()[1].replace(",", "")) for line in lines[1:-1]]
    assert sum(totals) == sum(day.orders for day in ask({due(day): 1 for day in range(80)}, days).days)
    starts = [line.split()[0] for line in lines[1:-1]]
    assert all(a < b for a, b in pairwise(starts))


@pytest.mark.parametrize("days", [7, 90, 730])
def test_chart_lines_fit_the_terminal_width(days: int) -> None:
    fleet = {due(day): 7_000 + 900 * day for day in range(-2, 80)}
    found = ask(fleet, days, new=1_000_000, new_a_day=2_400, budget=30_000)
    for width in (40, 59, 60, 80, 200):
        assert width - 3 <= max(map(len, drawn(found, width))) <= width


def test_chart_shows_no_bar_for_days_without_orders() -> None:
    assert drawn(ask({}, 2), 60) == [
        "DAY         ORDERS",
        "2026-11-24       0",
        "2026-11-25       0",
        "█ renewals",
    ]
