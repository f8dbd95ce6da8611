"""Spreading: as many renewals are made early as the coming days need, no more and no sooner, and none is ever too late."""

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
    """Give a window that is due `in_days` from today, open `earliest` days from today (default: long ago)."""
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


def test_a_window_has_the_day_it_is_due_half_the_life_and_the_day_before_the_expiry() -> None:
    found = renewal_days.day_window(datetime(2027, 2, 22, 4, 0, tzinfo=UTC), LIFE, WEEK)
    days = [date.fromordinal(day).isoformat() for day in (found.earliest, found.due, found.latest)]
    # Half the life is over at noon of 8 January: from the next midnight on it may be renewed.
    assert days == ["2027-01-09", "2027-02-15", "2027-02-21"]


def test_what_falls_due_after_the_last_tick_of_a_day_is_the_next_days() -> None:
    def falls(hour: int) -> int:
        return renewal_days.day_window(datetime(2027, 2, 22, hour, tzinfo=SGT), LIFE, WEEK).due

    assert [date.fromordinal(falls(hour)).day for hour in (0, 22, 23)] == [15, 15, 16]


def test_a_short_lived_certificate_is_never_renewed_early() -> None:
    expires = datetime(2026, 11, 30, 4, 0, tzinfo=UTC)
    found = renewal_days.day_window(expires, timedelta(hours=160), WEEK)
    assert found.earliest == found.due == renewal_days.day_of(expires - timedelta(hours=80))


@given(
    st.integers(0, 35_000).map(lambda hours: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hours)),
    st.integers(1, 4000).map(lambda hours: timedelta(hours=hours)),
    st.floats(0.1, 60).map(lambda days: timedelta(days=days)),
)
def test_the_days_of_a_window_are_in_order(expires: datetime, lifetime: timedelta, before: timedelta) -> None:
    found = renewal_days.day_window(expires, lifetime, before)
    assert found.earliest <= found.due <= found.latest
    # The first tick of the day finds half of the life over, unless it is the due day itself.
    assert found.earliest == found.due or renewal_days.start_of(found.earliest) >= expires - lifetime / 2
    # Made on the last day, it is in time for one that was due by then.
    assert found.latest == found.due or renewal_days.start_of(found.latest + 1) <= expires


def test_days_begin_at_midnight_in_singapore() -> None:
    midnight = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)
    assert renewal_days.start_of(TODAY) == midnight
    assert renewal_days.day_of(midnight) == renewal_days.day_of(midnight - timedelta(seconds=1)) + 1 == TODAY


# How much, and which


def test_nothing_is_pulled_in_while_every_day_has_room() -> None:
    fleet = {due(day): 10 for day in range(30)}
    assert renewal_days.count_needed_today(fleet, TODAY, 10) == 10
    assert renewal_days.pick_renewals(fleet, TODAY, 10) == {due(0): 10}


def test_a_cohort_is_pulled_in_as_late_as_will_do() -> None:
    fleet = {due(20): 100}
    # 100 at 10 a day take ten days, the last of them the twentieth: so they begin on the eleventh.
    assert [renewal_days.count_needed_today(fleet, TODAY + day, 10) for day in (0, 10, 11)] == [0, 0, 10]
    days = simulate(fleet, 21, budget=10)
    assert [day.renewals for day in days] == [0] * 11 + [10] * 10
    assert [day.early for day in days] == [0] * 11 + [10] * 9 + [0]


def test_the_next_to_fall_due_are_pulled_in_first() -> None:
    fleet = {due(0): 4, due(1): 30, due(2): 10, due(3): 10}
    assert renewal_days.pick_renewals(fleet, TODAY, 10) == {due(0): 4, due(1): 6}
    assert renewal_days.pick_renewals(fleet, TODAY, 25) == {due(0): 4, due(1): 5}


def test_one_before_half_of_its_life_is_left_alone_however_full_its_day_will_be() -> None:
    young = due(5, earliest=4)
    assert renewal_days.pick_renewals({young: 100}, TODAY, 10) == {}
    assert renewal_days.pick_renewals({young: 100}, TODAY + 4, 10) == {young: 10}


def test_room_is_left_where_the_young_need_it() -> None:
    """Day 5 is full of those that cannot go earlier: the old that are due then go before."""
    old, young = due(5), due(5, earliest=5)
    assert [day.renewals for day in simulate({old: 10, young: 10}, 6, budget=10)] == [0, 0, 0, 0, 10, 10]


def test_those_that_find_no_room_pull_in_nobody_else() -> None:
    fleet = {due(4): 10, due(5, earliest=5): 100, due(20): 10}
    assert renewal_days.count_needed_today(fleet, TODAY + 3, 10) == 0


def test_room_is_left_for_those_that_will_be_late() -> None:
    """Days 5 and 9 have each more young ones than they can take: the old between them make way before either comes."""
    young = {due(5, earliest=5, late=2): 3, due(9, earliest=9, late=2): 3}
    old = {due(day, late=2): 1 for day in (6, 7, 8)}
    days = simulate(young | old, 12, budget=1)
    assert [day.renewals for day in days] == [0, 0, 0, *[1] * 9]
    assert [day.early for day in days] == [0, 0, 0, 1, 1, *[0] * 7]


def test_without_a_budget_each_is_renewed_on_its_day() -> None:
    days = simulate({due(2): 500, due(4): 7}, 5)
    assert [day.renewals for day in days] == [0, 0, 500, 0, 7]
    assert sum(day.early + day.late for day in days) == 0


def test_what_is_due_and_does_not_fit_waits_and_the_nearest_expiry_goes_first() -> None:
    soon, later = due(0, late=2), due(0, late=6)
    assert renewal_days.pick_renewals({later: 10, soon: 6}, TODAY, 10) == {soon: 6, later: 4}
    assert [(day.renewals, day.late) for day in simulate({later: 10, soon: 6}, 2, budget=10)] == [
        (10, 6),
        (6, 0),
    ]


def test_what_would_expire_is_renewed_beyond_the_budget() -> None:
    assert renewal_days.pick_renewals({due(-6): 25, due(0): 5}, TODAY, 10) == {due(-6): 25}


def test_a_renewed_certificate_falls_due_again() -> None:
    days = simulate({due(0): 3}, 90)
    assert [day.day - TODAY for day in days if day.renewals] == [0, 83]


def test_new_domains_come_in_as_fast_as_the_ca_takes_them_and_fall_due_too() -> None:
    assumptions = Assumptions(WEEK, same, new_a_day=40)
    days = list(islice(renewal_days.simulate({}, TODAY, assumptions, {TODAY: 100}.__getitem__), 1))
    assert [(day.new, day.waiting, day.orders) for day in days] == [(40, 60, 40)]
    days = list(islice(renewal_days.simulate({}, TODAY, assumptions, lambda day: 100 * (day == TODAY)), 86))
    assert [day.new for day in days[:4]] == [40, 40, 20, 0]
    assert [day.renewals for day in days[83:]] == [40, 40, 20]


def test_an_expiry_is_counted_once_where_a_day_cannot_do_more() -> None:
    days = simulate({due(0, late=1): 10}, 5, capacity=3)
    assert [(day.renewals, day.expired) for day in days] == [(3, 0), (3, 0), (3, 4), (1, 0), (0, 0)]


# Whatever the fleet


@st.composite
def fleets(draw: st.DrawFn) -> RenewalCounts:
    """Give a fleet of which all have the same days between due and latest, but for the short-lived, which have fewer."""
    late = draw(st.integers(0, 4))

    def one() -> DayWindow:
        day = draw(st.integers(0, 14))
        if draw(st.booleans()):
            return due(day, earliest=day, late=draw(st.integers(0, late)))
        return due(day, earliest=draw(st.integers(day - 10, day)), late=late)

    return Counter({one(): draw(st.integers(1, 12)) for _ in range(draw(st.integers(0, 8)))})


def fits(fleet: RenewalCounts, first: int, budget: int, end: str) -> bool:
    """Say whether each can be renewed on a day from `first` on that it is open to: Hall's condition, day by day.

    For every stretch of days, those open to no day outside it are no more than its days have room for.
    """
    until = max((getattr(each, end) for each in fleet), default=first)
    return all(
        sum(n for each, n in fleet.items() if a <= max(each.earliest, first) and getattr(each, end) <= b)
        <= budget * (b - a + 1)
        for a in range(first, until + 1)
        for b in range(a, until + 1)
    )


@given(fleets(), st.integers(1, 12))
def test_what_can_be_kept_within_the_budget_is_and_none_is_late(fleet: RenewalCounts, budget: int) -> None:
    assume(fits(fleet, TODAY, budget, "due"))
    days = simulate(fleet, 25, budget=budget)
    assert max(day.renewals for day in days) <= budget
    assert sum(day.late + day.expired for day in days) == 0


@given(fleets(), st.integers(1, 12))
def test_none_expires_and_only_what_would_goes_beyond_the_budget(fleet: RenewalCounts, budget: int) -> None:
    days = simulate(fleet, 25, budget=budget)
    assert sum(day.expired for day in days) == 0
    assert sum(day.renewals for day in days) == sum(fleet.values())
    if fits(fleet, TODAY, budget, "latest"):
        assert max(day.renewals for day in days) <= budget


@given(fleets(), st.integers(1, 12))
def test_no_fewer_would_do_today(fleet: RenewalCounts, budget: int) -> None:
    """One renewal less today than `owed` says, and a later day would not have room."""
    assume(fits(fleet, TODAY, budget, "due"))
    number = renewal_days.count_needed_today(fleet, TODAY, budget)
    for less in (0, 1):
        if number - less >= sum(n for each, n in fleet.items() if each.due <= TODAY):
            made = Counter(renewal_days._most_urgent(fleet, TODAY, number - less))
            assert fits(Counter(fleet) - made, TODAY + 1, budget, "due") is (less == 0 or number == 0)


@given(fleets(), st.integers(1, 12))
def test_none_is_renewed_before_half_of_its_life(fleet: RenewalCounts, budget: int) -> None:
    for day in range(TODAY, TODAY + 15):
        assert all(each.earliest <= day for each in renewal_days.pick_renewals(fleet, day, budget))


# Two years, small: the whole of it is tests/bench/simulate_two_years.py

CHANGES = {date(2027, 2, 10): 64, date(2028, 2, 16): 45}


def calendar(day: int, _old: timedelta | None) -> timedelta:
    """Give the lifetime that Let's Encrypt has announced for `day`."""
    return next((n for since, n in reversed(CHANGES.items()) if day >= since.toordinal()), 90) * DAY


@pytest.mark.parametrize("spread", [True, False])
def test_ten_thousand_in_five_cohorts_over_two_years(spread: bool) -> None:
    """38 days of 270 renewals hold a fleet of 10,000 with 45 days to live; a cohort of 4,000 on one day does not fit."""
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
