"""Spreading: renewals are made early as few and as late as the coming days allow, and none is too late."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import islice

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sslctl.rules import renewal_days
from sslctl.rules.renewal_days import Assumptions, Day, DayWindow, RenewalCounts
from sslctl.rules.singapore import SGT

DAY = timedelta(days=1)
WEEK = timedelta(days=7)
TODAY = date(2026, 11, 24).toordinal()
LIFE = 90 * DAY


def due(in_days: int, *, earliest: int | None = None, late: int = 6) -> DayWindow:
    """Return a window that is due `in_days` from today and opens `earliest` days from today (default: long ago)."""
    start = in_days - 38 if earliest is None else earliest
    return DayWindow(TODAY + in_days + late, TODAY + in_days, TODAY + start, LIFE)


def same(_day: int, old: timedelta | None) -> timedelta:
    return old or LIFE


def nothing(_day: int) -> int:
    return 0


def simulate(fleet: RenewalCounts, days: int, **assumptions: int | None) -> list[Day]:
    return list(
        islice(renewal_days.simulate(fleet, TODAY, Assumptions(WEEK, same, **assumptions), nothing), days)
    )


# Windows


def test_renewal_window_reaches_from_half_of_the_lifetime_to_the_day_before_expiry() -> None:
    found = renewal_days.day_window(datetime(2027, 2, 22, 4, 0, tzinfo=UTC), LIFE, WEEK)
    days = [date.fromordinal(day).isoformat() for day in (found.earliest, found.due, found.latest)]
    # Half of the lifetime is over at noon of 8 January, so it may be renewed from the next midnight on.
    assert days == ["2027-01-09", "2027-02-15", "2027-02-21"]


def test_renewal_due_after_the_last_tick_of_a_day_counts_for_the_next_day() -> None:
    def falls(hour: int) -> int:
        return renewal_days.day_window(datetime(2027, 2, 22, hour, tzinfo=SGT), LIFE, WEEK).due

    assert [date.fromordinal(falls(hour)).day for hour in (0, 22, 23)] == [15, 15, 16]


def test_renewal_window_of_a_short_lived_certificate_has_no_early_days() -> None:
    expires = datetime(2026, 11, 30, 4, 0, tzinfo=UTC)
    found = renewal_days.day_window(expires, timedelta(hours=160), WEEK)
    assert found.earliest == found.due == renewal_days.day_of(expires - timedelta(hours=80))


@given(
    st.integers(0, 35_000).map(lambda hours: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hours)),
    st.integers(1, 4000).map(lambda hours: timedelta(hours=hours)),
    st.floats(0.1, 60).map(lambda days: timedelta(days=days)),
)
def test_days_of_a_renewal_window_are_in_order(
    expires: datetime, lifetime: timedelta, before: timedelta
) -> None:
    found = renewal_days.day_window(expires, lifetime, before)
    assert found.earliest <= found.due <= found.latest
    # At the first tick of the day half of the lifetime is over, unless it is the due day itself.
    assert found.earliest == found.due or renewal_days.start_of(found.earliest) >= expires - lifetime / 2
    # A renewal on the last day is in time.
    assert found.latest == found.due or renewal_days.start_of(found.latest + 1) <= expires


def test_days_start_at_midnight_in_singapore() -> None:
    midnight = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)
    assert renewal_days.start_of(TODAY) == midnight
    assert renewal_days.day_of(midnight) == renewal_days.day_of(midnight - timedelta(seconds=1)) + 1 == TODAY


# How many renewals, and which


def test_no_renewal_is_early_while_every_day_fits_the_budget() -> None:
    fleet = {due(day): 10 for day in range(30)}
    assert renewal_days.count_needed_today(fleet, TODAY, 10) == 10
    assert renewal_days.pick_renewals(fleet, TODAY, 10) == {due(0): 10}


def test_cohort_is_renewed_early_as_late_as_possible() -> None:
    fleet = {due(20): 100}
    # 100 renewals at 10 a day take ten days. The last of them is day 20, so the first is day 11.
    assert [renewal_days.count_needed_today(fleet, TODAY + day, 10) for day in (0, 10, 11)] == [0, 0, 10]
    days = simulate(fleet, 21, budget=10)
    assert [day.renewals for day in days] == [0] * 11 + [10] * 10
    assert [day.early for day in days] == [0] * 11 + [10] * 9 + [0]


def test_early_renewals_take_the_next_due_first() -> None:
    fleet = {due(0): 4, due(1): 30, due(2): 10, due(3): 10}
    assert renewal_days.pick_renewals(fleet, TODAY, 10) == {due(0): 4, due(1): 6}
    assert renewal_days.pick_renewals(fleet, TODAY, 25) == {due(0): 4, due(1): 5}


def test_certificate_before_half_of_its_lifetime_is_never_picked() -> None:
    young = due(5, earliest=4)
    assert renewal_days.pick_renewals({young: 100}, TODAY, 10) == {}
    assert renewal_days.pick_renewals({young: 100}, TODAY + 4, 10) == {young: 10}


def test_old_certificates_are_renewed_early_when_young_ones_fill_their_day() -> None:
    """Day 5 is full of certificates that cannot go earlier, so the old ones due then go before it."""
    old, young = due(5), due(5, earliest=5)
    assert [day.renewals for day in simulate({old: 10, young: 10}, 6, budget=10)] == [0, 0, 0, 0, 10, 10]


def test_certificates_that_cannot_fit_cause_no_early_renewals_of_others() -> None:
    fleet = {due(4): 10, due(5, earliest=5): 100, due(20): 10}
    assert renewal_days.count_needed_today(fleet, TODAY + 3, 10) == 0


def test_old_certificates_are_renewed_early_when_young_ones_will_be_late() -> None:
    """Days 5 and 9 each have more young certificates than budget, so the old ones between them go before day 5."""
    young = {due(5, earliest=5, late=2): 3, due(9, earliest=9, late=2): 3}
    old = {due(day, late=2): 1 for day in (6, 7, 8)}
    days = simulate(young | old, 12, budget=1)
    assert [day.renewals for day in days] == [0, 0, 0, *[1] * 9]
    assert [day.early for day in days] == [0, 0, 0, 1, 1, *[0] * 7]


def test_every_renewal_is_on_its_due_day_without_a_budget() -> None:
    days = simulate({due(2): 500, due(4): 7}, 5)
    assert [day.renewals for day in days] == [0, 0, 500, 0, 7]
    assert sum(day.early + day.late for day in days) == 0


def test_due_renewals_beyond_the_budget_wait_and_the_nearest_expiry_goes_first() -> None:
    soon, later = due(0, late=2), due(0, late=6)
    assert renewal_days.pick_renewals({later: 10, soon: 6}, TODAY, 10) == {soon: 6, later: 4}
    assert [(day.renewals, day.late) for day in simulate({later: 10, soon: 6}, 2, budget=10)] == [
        (10, 6),
        (6, 0),
    ]


def test_certificates_about_to_expire_are_renewed_beyond_the_budget() -> None:
    assert renewal_days.pick_renewals({due(-6): 25, due(0): 5}, TODAY, 10) == {due(-6): 25}


def test_renewed_certificate_falls_due_again() -> None:
    days = simulate({due(0): 3}, 90)
    assert [day.day - TODAY for day in days if day.renewals] == [0, 83]


def test_new_domains_are_limited_per_day_and_fall_due_later() -> None:
    assumptions = Assumptions(WEEK, same, new_a_day=40)
    days = list(islice(renewal_days.simulate({}, TODAY, assumptions, {TODAY: 100}.__getitem__), 1))
    assert [(day.new, day.waiting, day.orders) for day in days] == [(40, 60, 40)]
    days = list(islice(renewal_days.simulate({}, TODAY, assumptions, lambda day: 100 * (day == TODAY)), 86))
    assert [day.new for day in days[:4]] == [40, 40, 20, 0]
    assert [day.renewals for day in days[83:]] == [40, 40, 20]


def test_expiry_is_counted_once_when_the_capacity_is_too_small() -> None:
    days = simulate({due(0, late=1): 10}, 5, capacity=3)
    assert [(day.renewals, day.expired) for day in days] == [(3, 0), (3, 0), (3, 4), (1, 0), (0, 0)]


# Random fleets


@st.composite
def fleets(draw: st.DrawFn) -> RenewalCounts:
    """Return a fleet with equal days between due and latest, except for short-lived certificates, which have fewer."""
    late = draw(st.integers(0, 4))

    def one() -> DayWindow:
        day = draw(st.integers(0, 14))
        if draw(st.booleans()):
            return due(day, earliest=day, late=draw(st.integers(0, late)))
        return due(day, earliest=draw(st.integers(day - 10, day)), late=late)

    return Counter({one(): draw(st.integers(1, 12)) for _ in range(draw(st.integers(0, 8)))})


def fits(fleet: RenewalCounts, first: int, budget: int, end: str) -> bool:
    """Return whether every certificate can be renewed on an open day from `first` on (Hall's condition, by days).

    For every interval of days, the certificates open only inside it must be no more than its total budget.
    """
    until = max((getattr(each, end) for each in fleet), default=first)
    return all(
        sum(n for each, n in fleet.items() if a <= max(each.earliest, first) and getattr(each, end) <= b)
        <= budget * (b - a + 1)
        for a in range(first, until + 1)
        for b in range(a, until + 1)
    )


@given(fleets(), st.integers(1, 12))
def test_simulation_keeps_the_budget_and_is_never_late_if_that_is_possible(
    fleet: RenewalCounts, budget: int
) -> None:
    assume(fits(fleet, TODAY, budget, "due"))
    days = simulate(fleet, 25, budget=budget)
    assert max(day.renewals for day in days) <= budget
    assert sum(day.late + day.expired for day in days) == 0


@given(fleets(), st.integers(1, 12))
def test_simulation_lets_nothing_expire_and_exceeds_the_budget_only_for_that(
    fleet: RenewalCounts, budget: int
) -> None:
    days = simulate(fleet, 25, budget=budget)
    assert sum(day.expired for day in days) == 0
    assert sum(day.renewals for day in days) == sum(fleet.values())
    if fits(fleet, TODAY, budget, "latest"):
        assert max(day.renewals for day in days) <= budget


@given(fleets(), st.integers(1, 12))
def test_count_needed_today_is_the_minimum(fleet: RenewalCounts, budget: int) -> None:
    """With one renewal less than `count_needed_today`, a later day would exceed the budget."""
    assume(fits(fleet, TODAY, budget, "due"))
    number = renewal_days.count_needed_today(fleet, TODAY, budget)
    for less in (0, 1):
        if number - less >= sum(n for each, n in fleet.items() if each.due <= TODAY):
            made = Counter(renewal_days._most_urgent(fleet, TODAY, number - less))
            assert fits(Counter(fleet) - made, TODAY + 1, budget, "due") is (less == 0 or number == 0)


@given(fleets(), st.integers(1, 12))
def test_nothing_is_renewed_before_half_of_its_lifetime(fleet: RenewalCounts, budget: int) -> None:
    for day in range(TODAY, TODAY + 15):
        assert all(each.earliest <= day for each in renewal_days.pick_renewals(fleet, day, budget))


# Two years in small; the full simulation is tests/bench/simulate_two_years.py

CHANGES = {date(2027, 2, 10): 64, date(2028, 2, 16): 45}


def calendar(day: int, _old: timedelta | None) -> timedelta:
    """Return the lifetime that Let's Encrypt has announced for `day`."""
    return next((n for since, n in reversed(CHANGES.items()) if day >= since.toordinal()), 90) * DAY


@pytest.mark.parametrize("spread", [True, False])
def test_10000_domains_in_five_cohorts_over_two_years_need_spreading(spread: bool) -> None:
    """38 days of 270 renewals carry 10,000 certificates of 45 days; an unspread cohort of 4,000 does not fit."""
    cohorts = {TODAY: 2000, TODAY + 60: 4000, TODAY + 61: 1000, TODAY + 300: 2000, TODAY + 500: 1000}
    assumptions = Assumptions(WEEK, calendar, budget=270 if spread else None, capacity=270)
    days = list(islice(renewal_days.simulate({}, TODAY, assumptions, lambda day: cohorts.get(day, 0)), 731))
    expired = {date.fromordinal(day.day): day.expired for day in days if day.expired}
    assert sum(day.new for day in days) == 10_000
    if spread:
        assert expired == {}
        assert sum(day.late for day in days) == 0
    else:
        # Seven nights of 270 for a first cohort of 2,000.
        assert (min(expired), expired[min(expired)]) == (date(2027, 2, 22), 110)
        assert sum(expired.values()) > 1000
