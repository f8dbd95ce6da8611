"""Ticks spread the renewals of a cohort over several days with `renewal.max_per_day`."""

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
    """Run a tick `every` so many hours for `days`; return the number of certificates per day in Singapore."""
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
    """Return 00:00 in Singapore of the day that is `days` after the day on which the cohort is due."""
    return datetime(2027, 2, 13, 16, 0, tzinfo=UTC) + timedelta(days=days)


def test_ticks_renew_a_cohort_on_one_day_without_a_limit(cohort: Cdn) -> None:
    assert nights(cohort, midnight(-6), 8) == {"2027-02-14": 9}


def test_ticks_spread_a_cohort_just_early_enough_and_never_exceed_the_daily_limit(cohort: Cdn) -> None:
    limit(cohort, 2)
    spread = {"2027-02-10": 1, "2027-02-11": 2, "2027-02-12": 2, "2027-02-13": 2, "2027-02-14": 2}
    assert nights(cohort, midnight(-6), 8) == spread
    # A spread cohort stays spread: 83 days later no renewal needs to be early.
    again = nights(cohort, midnight(77), 8)
    assert list(again.values()) == list(spread.values())
    assert list(again) == ["2027-05-04", "2027-05-05", "2027-05-06", "2027-05-07", "2027-05-08"]


def test_hourly_ticks_share_the_daily_limit(cohort: Cdn) -> None:
    limit(cohort, 4)
    assert nights(cohort, midnight(-2), 3, every=1) == {"2027-02-12": 1, "2027-02-13": 4, "2027-02-14": 4}


def test_ticks_exceed_the_limit_before_a_certificate_would_expire(cohort: Cdn) -> None:
    """No tick ran until one renewal a day was too few; certificates about to expire are renewed beyond the limit."""
    limit(cohort, 1)
    days = nights(cohort, midnight(3), 6)
    assert days == {"2027-02-17": 1, "2027-02-18": 1, "2027-02-19": 1, "2027-02-20": 6}
    assert {row["status"] for row in cohort.sslctl("list", "--json").json["domains"]} == {Status.SUCCESS}


def test_failed_early_renewal_does_not_use_the_daily_limit(cohort: Cdn) -> None:
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


def test_dry_run_lists_early_renewals_with_their_reason(cohort: Cdn) -> None:
    limit(cohort, 2)
    at = ("--now", "2027-02-13")
    planned = cohort.sslctl("daemon-tick", "--dry-run", "--json", *at).json["planned"]
    assert [(row["domain"], row["work"]) for row in planned] == [(NAMES[0], "renew"), (NAMES[1], "renew")]
    assert {row["why"] for row in planned} == {
        "a coming day would have more renewals than renewal.max_per_day"
    }
