"""A cohort added on one day does not fall due on one night: ticks on a clock that moves, with `renewal.max_per_day`."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from sslctl.issuer import IssueError
from sslctl.rules.reasons import Code, Status
from tests.support.cdn import Cdn

NAMES = [f"d{number}.example.com" for number in range(9)]
DUE = datetime(2027, 2, 14, 4, 0, tzinfo=UTC)  # 83 days after noon of 23 November 2026 in Singapore


@pytest.fixture
def cohort(cdn: Cdn) -> Cdn:
    for name in NAMES:
        cdn.add_domain(name)
    assert cdn.sslctl("add", *NAMES).exit_code == 0
    return cdn


def limit(cdn: Cdn, most: int) -> None:
    cdn.config_path.write_text(cdn.config_path.read_text() + f"[renewal]\nmax_per_day = {most}\n")


def nights(cdn: Cdn, first: datetime, days: int, *, every: float = 12) -> dict[str, int]:
    """Tick every so many hours, and give how many certificates each day in Singapore brought."""
    brought: Counter[str] = Counter()
    cdn.clock.at = first
    while cdn.clock() < first + timedelta(days=days):
        before = len(cdn.issuer.orders)
        assert cdn.sslctl("daemon-tick", "-q").exit_code == 0
        day = (cdn.clock() + timedelta(hours=8)).date().isoformat()
        brought[day] += len(cdn.issuer.orders) - before
        cdn.clock.move(hours=every)
    return {day: count for day, count in brought.items() if count}


def midnight(days: int) -> datetime:
    """Give 00:00 in Singapore of the day that is `days` after the one on which the cohort is due."""
    return datetime(2027, 2, 13, 16, 0, tzinfo=UTC) + timedelta(days=days)


def test_without_a_limit_a_cohort_is_renewed_on_one_day(cohort: Cdn) -> None:
    assert nights(cohort, midnight(-6), 8) == {"2027-02-14": 9}


def test_with_a_limit_it_is_begun_just_early_enough_and_never_more_than_that_a_day(cohort: Cdn) -> None:
    limit(cohort, 2)
    spread = {"2027-02-10": 1, "2027-02-11": 2, "2027-02-12": 2, "2027-02-13": 2, "2027-02-14": 2}
    assert nights(cohort, midnight(-6), 8) == spread
    # Once spread, it stays so: 83 days later nothing needs to be early any more.
    again = nights(cohort, midnight(77), 8)
    assert list(again.values()) == list(spread.values())
    assert list(again) == ["2027-05-04", "2027-05-05", "2027-05-06", "2027-05-07", "2027-05-08"]


def test_hourly_ticks_share_the_limit_of_the_day(cohort: Cdn) -> None:
    limit(cohort, 4)
    assert nights(cohort, midnight(-2), 3, every=1) == {"2027-02-12": 1, "2027-02-13": 4, "2027-02-14": 4}


def test_what_comes_too_late_to_be_spread_waits_and_expires_never(cohort: Cdn) -> None:
    """The tick was not run until a certificate a day was too few: what would expire goes beyond the limit."""
    limit(cohort, 1)
    days = nights(cohort, midnight(3), 6)
    assert days == {"2027-02-17": 1, "2027-02-18": 1, "2027-02-19": 1, "2027-02-20": 6}
    assert {row["status"] for row in cohort.sslctl("list", "--json").json["domains"]} == {Status.SUCCESS}


def test_an_early_renewal_that_fails_costs_nothing_and_another_one_has_its_turn(cohort: Cdn) -> None:
    limit(cohort, 2)
    cohort.clock.at = midnight(-4)
    cohort.issuer.refusals.append(IssueError(Code.CHALLENGE_FAILED, "404", order_dead=True))
    assert cohort.sslctl("daemon-tick", "-q").exit_code == 5
    rows = cohort.sslctl("list", "--json").json["domains"]
    failed = [row for row in rows if row["status"] == Status.FAILURE]
    assert [row["serving"]["valid"] for row in failed] == [True]
    cohort.clock.move(hours=1)
    assert cohort.sslctl("daemon-tick", "-q").exit_code == 0
    assert len(cohort.issuer.orders) == 9 + 2


def test_a_dry_run_says_what_is_early_and_why(cohort: Cdn) -> None:
    limit(cohort, 2)
    at = ("--now", "2027-02-13")
    planned = cohort.sslctl("daemon-tick", "--dry-run", "--json", *at).json["planned"]
    assert [(row["domain"], row["work"]) for row in planned] == [(NAMES[0], "renew"), (NAMES[1], "renew")]
    assert {row["why"] for row in planned} == {
        "a coming day would have more renewals than renewal.max_per_day"
    }
