"""Today's share of the renewals, from a real store: which wait, which are made early, and which are never moved."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from sslctl.fleet import spreading
from sslctl.fleet.spreading import Selection
from sslctl.rules import renewal_days
from sslctl.rules.model import Domain, Source
from sslctl.rules.reasons import Code
from sslctl.rules.status import queued_finding
from sslctl.store.sqlite.store import SqliteStore
from tests.support.fakes import Clock
from tests.support.store_cases import finding, held, issue, serve

WEEK = timedelta(days=7)
NOW = datetime(2027, 3, 1, 16, 0, tzinfo=UTC)  # 00:00 of the 2nd in Singapore


@pytest.fixture(autouse=True)
def _midnight(clock: Clock) -> None:
    clock.at = NOW


def served(store: SqliteStore, name: str, left: float, *, days: float = 90, before: bool = True) -> Domain:
    """Add a domain whose certificate expires in `left` days, kept when it was issued if `before`, and just now if not."""
    clock = store._clock
    assert isinstance(clock, Clock)
    at = NOW + timedelta(days=left - days)
    clock.at = at if before else NOW
    domain = serve(store, issue(store, store.add_domain(name, (), Source.C4), at=at, days=days))  # type: ignore[arg-type]
    clock.at = NOW
    return store.record_finding(domain, None)


def fleet(store: SqliteStore, left: Iterable[float], prefix: str = "d") -> list[Domain]:
    return [served(store, f"{prefix}{number}.test", days) for number, days in enumerate(left)]


def names(domains: Iterable[Domain]) -> list[str]:
    return [domain.name for domain in domains]


def select(store: SqliteStore, due: Iterable[Domain] = (), *, at: datetime = NOW, most: int = 2) -> Selection:
    return spreading.select_renewals(store, list(due), at, WEEK, most)


# Cohorts in the store


def test_standing_counts_a_revoked_certificate_as_due_today(store: SqliteStore) -> None:
    store.mark_revoked(held(served(store, "revoked.test", 60)))
    (window,) = spreading.count_fleet(store, NOW, WEEK).fleet
    assert renewal_days.pick_renewals({window: 1}, renewal_days.day_of(NOW), 0) == {window: 1}
    assert window.lifetime == timedelta(days=90)


def test_standing_dates_an_undelivered_certificate_by_its_own_expiry(store: SqliteStore) -> None:
    domain = issue(store, served(store, "owed.test", 3), at=NOW)  # type: ignore[arg-type]
    store.record_finding(domain, finding(Code.C4_REJECTED))
    (window,) = spreading.count_fleet(store, NOW, WEEK).fleet
    assert window.due == renewal_days.day_of(NOW) + 83


def test_standing_counts_a_failing_domain_only_until_its_renewal_is_due(store: SqliteStore) -> None:
    for domain in [served(store, "later.test", 40), served(store, "now.test", 5)]:
        store.record_finding(domain, finding(Code.CNAME_ELSEWHERE))
    store.record_finding(store.add_domain("never.test", (), Source.C4), finding(Code.NXDOMAIN))
    store.record_finding(store.add_domain("gone.test", (), Source.C4), finding(Code.C4_UNKNOWN_DOMAIN))
    store.record_finding(store.add_domain("asked.test", (), Source.C4), finding(Code.CA_RATE_LIMITED))
    store.add_domain("queued.test", (), Source.C4)
    found = spreading.count_fleet(store, NOW, WEEK)
    assert (sum(found.fleet.values()), found.queued, found.failing) == (1, 2, 3)


def test_standing_agrees_with_the_renewal_rule_of_the_tick(store: SqliteStore) -> None:
    """The due day of a window is the day on which an hourly tick finds the renewal due."""
    for hours in range(0, 30, 3):
        served(store, f"h{hours}.test", 20 + hours / 24 + 1 / 100)
    due = renewal_days.start_of(renewal_days.day_of(NOW) + 13)
    days = {each.due for each in spreading.count_fleet(store, NOW, WEEK).fleet}
    seen = {
        renewal_days.day_of(due + timedelta(hours=hours))
        for hours in range(48)
        if len(list(store.candidates(due + timedelta(hours=hours), WEEK)))
        > len(list(store.candidates(due + timedelta(hours=hours - 1), WEEK)))
    }
    assert days == seen


# Renewals of today


# Due renewals beyond the limit


def test_share_holds_nothing_and_makes_nothing_early_without_a_limit(store: SqliteStore) -> None:
    due = fleet(store, [5, 5, 5, *[20] * 9])[:3]
    assert select(store, due, most=0) == Selection()


def test_share_holds_the_latest_expiries_beyond_the_limit(store: SqliteStore) -> None:
    due = fleet(store, [6, 4, 5, 3])
    found = select(store, due)
    assert (names(found.held), found.early) == (["d2.test", "d0.test"], ())


def test_share_counts_renewals_of_earlier_ticks_of_the_same_day(store: SqliteStore, clock: Clock) -> None:
    first, second, third = fleet(store, [4, 5, 6])
    issue(store, first, at=NOW)  # type: ignore[arg-type]
    clock.move(hours=5)
    assert names(select(store, [second, third], at=clock()).held) == ["d2.test"]
    # The next day begins at 16:00 UTC.
    clock.move(hours=19)
    assert select(store, [second, third], at=clock()).held == ()


def test_share_never_holds_a_certificate_that_expires_before_the_end_of_tomorrow(store: SqliteStore) -> None:
    due = fleet(store, [-1, 0.5, 1.9, 2, 2.1, 3])
    assert names(select(store, due).held) == ["d4.test", "d5.test"]


def test_share_never_holds_a_domain_with_a_finding(store: SqliteStore) -> None:
    troubled = [
        store.record_finding(domain, finding(code))
        for domain, code in zip(
            fleet(store, [6, 6, 6], "t"),
            (Code.CNAME_ELSEWHERE, Code.CA_UNAVAILABLE, Code.C4_REJECTED),
            strict=True,
        )
    ]
    assert select(store, troubled, most=1) == Selection(postponable=[])
    # Two of them may be renewed; the one that fails is not counted.
    well = fleet(store, [5, 5, 5])
    assert names(select(store, troubled + well, most=4).held) == ["d2.test"]


def test_share_never_holds_a_revoked_certificate(store: SqliteStore) -> None:
    due = fleet(store, [60, 5, 5])
    store.mark_revoked(held(due[0]))
    assert names(select(store, [store.domain(each.name) for each in due], most=1).held) == [
        "d1.test",
        "d2.test",
    ]


# Early renewals


def test_share_starts_a_cohort_on_the_latest_sufficient_day(store: SqliteStore) -> None:
    """Six due in 20 days, at two a day: the first two are renewed two days before."""
    fleet(store, [27] * 6)
    early = [select(store, at=NOW + timedelta(days=days)).early for days in (17, 18)]
    assert [names(each) for each in early] == [[], ["d0.test", "d1.test"]]


def test_share_makes_early_only_what_the_renewals_of_today_leave_of_the_limit(store: SqliteStore) -> None:
    (due,) = fleet(store, [6.9], "now")
    fleet(store, [7.5], "today")
    fleet(store, [8.5] * 6, "tomorrow")
    found = select(store, [due], most=4)
    # One is due, and another one will be in the course of the day.
    assert (found.held, names(found.early)) == ((), ["tomorrow0.test", "tomorrow1.test"])


def test_share_makes_early_the_next_due_domains_without_a_finding(store: SqliteStore) -> None:
    fleet(store, [9.5, 8.6, 8.5, 8.4, 8.3])
    store.record_finding(store.domain("d4.test"), finding(Code.CNAME_ELSEWHERE))
    store.record_finding(store.domain("d3.test"), queued_finding(NOW))
    # Five in two days do not fit into one a day.
    assert names(select(store, most=1).early) == ["d2.test"]
    assert names(select(store, most=10).early) == []
    store.mark_revoked(held(store.domain("d2.test")))
    assert names(store.renewable(NOW, NOW, 9)) == ["d1.test", "d0.test"]


def test_cohort_due_in_the_last_hour_of_a_day_counts_for_the_next_day(
    store: SqliteStore,
) -> None:
    fleet(store, [8 - 1 / 48] * 4)
    found = spreading.count_fleet(store, NOW, WEEK).fleet
    assert {each.due - renewal_days.day_of(NOW) for each in found} == {1}
    assert len(select(store).early) == 2


def test_share_makes_no_more_domains_early_than_the_limit(store: SqliteStore) -> None:
    fleet(store, [8.5] * 12)
    assert len(select(store, most=5).early) == 5


def test_share_makes_nothing_early_when_the_limit_of_today_is_used_up(
    store: SqliteStore, clock: Clock
) -> None:
    fleet(store, [8.5] * 6)
    done = fleet(store, [5, 5], "done")
    assert len(select(store, most=2).early) == 0
    for domain in done:
        issue(store, domain, at=NOW)  # type: ignore[arg-type]
    clock.move(hours=1)
    assert select(store, at=clock()).early == ()
    assert len(select(store, at=clock(), most=3).early) == 1


# Renewals that count as new orders


def test_domain_that_expired_long_ago_is_counted_as_a_new_one_by_the_forecast(store: SqliteStore) -> None:
    # Issued 110, 119, 120 and 200 days ago, and one that is not due.
    for number, left in enumerate((-20.0, -29.0, -30.0, -110.0, 40.0)):
        domain = served(store, f"d{number}.test", left)
        store.record_finding(domain, finding(Code.BUDGET_HELD))
    found = spreading.count_fleet(store, NOW, WEEK, timedelta(days=120))
    assert (sum(found.fleet.values()), found.queued, found.failing) == (3, 2, 0)
    assert sum(spreading.count_fleet(store, NOW, WEEK).fleet.values()) == 5
