"""When the tick takes a domain up, and for what work."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sslctl.rules.model import Finding, Source
from sslctl.rules.reasons import Code
from sslctl.rules.renewal import RenewalRule, renewal_at
from sslctl.rules.schedule import Work, count_tries, find_due_work, is_upload_urgent, retry_at
from tests.support import words
from tests.unit.rules.builders import NOW, WEEK, certificate, domain, finding, leaf, serving


@pytest.mark.parametrize(
    ("lifetime_days", "expected_days"), [(90, 7), (64, 7), (45, 7), (14, 7), (13, 6.5), (6, 3), (1, 0.5)]
)
def test_renewal_at_is_seven_days_before_expiry_but_not_before_half_of_the_lifetime(
    lifetime_days: float, expected_days: float
) -> None:
    short = leaf(left=timedelta(days=lifetime_days), lifetime=timedelta(days=lifetime_days))
    assert short.not_after - renewal_at(short, WEEK) == timedelta(days=expected_days)


@pytest.mark.parametrize(
    ("state", "work"),
    [
        (serving(), None),
        (serving(left=WEEK), Work.RENEW),
        (serving(left=WEEK + timedelta(seconds=1)), None),
        (serving(left=-WEEK), Work.RENEW),
        (serving(revoked_at=NOW), Work.RENEW),
        ({}, Work.ISSUE),
        ({"finding": finding(Code.QUEUED)}, Work.ISSUE),
        ({"finding": finding(Code.CNAME_ELSEWHERE)}, Work.RECHECK),
        ({"finding": finding(Code.CNAME_ELSEWHERE, retry=timedelta(hours=1))}, None),
        ({"finding": finding(Code.C4_UNKNOWN_DOMAIN, retry=None)}, None),
        ({"wanted": certificate(), "finding": finding(Code.C4_UPLOAD_FAILED)}, Work.UPLOAD),
        ({"wanted": certificate(left=-WEEK), "finding": finding(Code.C4_UPLOAD_FAILED)}, Work.RECHECK),
        ({**serving(left=-WEEK), "source": Source.TEXT}, None),
        ({**serving(left=-WEEK, source=Source.TEXT), "source": Source.TEXT}, None),
        ({"source": Source.TEXT, "wanted": certificate(source=Source.TEXT)}, Work.UPLOAD),
        ({"source": Source.TEXT, "finding": finding(Code.C4_UNANSWERED)}, None),
        ({"deleted_at": NOW}, None),
        ({**serving(left=WEEK), "finding": finding(Code.CNAME_ELSEWHERE, retry=timedelta(hours=1))}, None),
    ],
    ids=[
        "served",
        "due",
        "due in a second",
        "expired",
        "revoked",
        "new",
        "queued",
        "failure due",
        "failure later",
        "discard",
        "emergency",
        "emergency expired",
        "text domain with expired c4 certificate",
        "text expired",
        "text not uploaded",
        "text without pair",
        "deleted",
        "due with failure later",
    ],
)
def test_find_due_work_returns_the_work_of_each_state(state: dict[str, object], work: Work | None) -> None:
    due = find_due_work(domain(**state), NOW, RenewalRule(WEEK))
    assert (due.work if due else None) is work


def test_retry_at_of_a_failure_is_the_next_midnight_in_singapore() -> None:
    assert retry_at(Code.NXDOMAIN, NOW) == datetime(2026, 11, 23, 16, 0, tzinfo=UTC)


@pytest.mark.parametrize("code", [Code.CA_UNAVAILABLE, Code.C4_ACTIVATING, Code.CHALLENGE_FAILED], ids=str)
def test_retry_at_of_a_temporary_problem_backs_off_until_midnight_at_the_latest(code: Code) -> None:
    waits = [retry_at(code, NOW, tries=tries) for tries in (1, 2, 3, 4, 5)]
    midnight = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)
    assert waits == [*(NOW + timedelta(minutes=m) for m in (1, 10, 100)), midnight, midnight]
    late = datetime(2026, 11, 23, 15, 59, 30, tzinfo=UTC)
    assert retry_at(code, late) == midnight


@pytest.mark.parametrize("retry_after", [timedelta(seconds=1), timedelta(days=42)], ids=str)
def test_retry_at_of_budget_held_is_its_given_time(retry_after: timedelta) -> None:
    assert retry_at(Code.BUDGET_HELD, NOW, NOW + retry_after) == NOW + retry_after


@pytest.mark.parametrize(
    ("codes", "tries"),
    [
        ([Code.QUEUED, Code.CA_UNAVAILABLE], 1),
        ([Code.CA_UNAVAILABLE, Code.CHALLENGE_FAILED, Code.C4_UNANSWERED], 3),
        ([Code.CA_UNAVAILABLE, Code.CA_UNAVAILABLE, None, Code.CA_UNAVAILABLE], 1),
        ([Code.CA_UNAVAILABLE, Code.NXDOMAIN, Code.CA_UNAVAILABLE], 1),
        ([Code.CA_UNAVAILABLE, Code.C4_REJECTED, Code.CA_UNAVAILABLE], 1),
        ([Code.CA_UNAVAILABLE, Code.QUEUED, Code.CA_UNAVAILABLE], 1),
        ([Code.CA_UNAVAILABLE, Code.CA_UNAVAILABLE, Code.BUDGET_HELD, Code.CA_UNAVAILABLE], 3),
        ([Code.QUEUED, Code.BUDGET_HELD, Code.BUDGET_HELD, Code.CA_UNAVAILABLE], 1),
    ],
    ids=words,
)
def test_count_tries_counts_only_consecutive_problems_that_back_off(
    codes: list[Code | None], tries: int
) -> None:
    before: Finding | None = None
    for code in codes:
        tried = 1 if code is None or code is Code.QUEUED else count_tries(before, code)
        before = None if code is None else Finding(code, "", "", NOW, NOW, tried)
    assert before is not None
    assert before.tries == tries


def test_retry_at_is_now_for_emergency_and_none_for_discard() -> None:
    assert retry_at(Code.C4_REJECTED, NOW) == NOW
    assert retry_at(Code.C4_UNKNOWN_DOMAIN, NOW) is None


@pytest.mark.parametrize(
    ("retry_after", "expected"),
    [
        (timedelta(hours=30), timedelta(hours=30)),
        (timedelta(seconds=1), timedelta(minutes=1)),
        (timedelta(days=-400), timedelta(minutes=1)),
        (timedelta(days=400), timedelta(days=7)),
    ],
    ids=str,
)
def test_retry_at_follows_the_retry_after_of_the_ca_between_a_minute_and_a_week(
    retry_after: timedelta, expected: timedelta
) -> None:
    assert retry_at(Code.CA_RATE_LIMITED, NOW, NOW + retry_after) == NOW + expected


def test_retry_at_follows_the_retry_after_of_c4_until_midnight_at_the_latest() -> None:
    midnight = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)
    soon = NOW + timedelta(minutes=5)
    assert retry_at(Code.C4_UNANSWERED, NOW, soon) == soon
    assert retry_at(Code.C4_UNANSWERED, NOW, NOW + timedelta(days=1)) == midnight


@pytest.mark.parametrize(
    ("code", "retry", "is_due"),
    [
        (Code.CNAME_ELSEWHERE, timedelta(days=1), False),
        (Code.CA_RATE_LIMITED, timedelta(days=7), False),
        (Code.CNAME_ELSEWHERE, timedelta(days=400), True),
        (Code.CA_RATE_LIMITED, timedelta(days=7, seconds=1), True),
        (Code.BUDGET_HELD, timedelta(days=40), False),
        (Code.C4_UNKNOWN_DOMAIN, None, False),
    ],
    ids=str,
)
def test_find_due_work_ignores_a_retry_time_too_far_in_the_future(
    code: Code, retry: timedelta | None, *, is_due: bool
) -> None:
    found = domain(finding=finding(code, retry=retry))
    assert (find_due_work(found, NOW, RenewalRule(WEEK)) is not None) is is_due


@pytest.mark.parametrize("code", [Code.C4_REJECTED, Code.C4_UPLOAD_FAILED, Code.C4_MISMATCH], ids=words)
def test_failed_upload_is_repeated_by_12_ticks_then_hourly_while_a_valid_certificate_is_served(
    code: Code,
) -> None:
    waits = [retry_at(code, NOW, tries=tries, is_upload_urgent=False) for tries in (1, 11, 12, 500)]
    assert waits == [NOW, NOW, NOW + timedelta(minutes=55), NOW + timedelta(minutes=55)]
    assert retry_at(code, NOW, tries=500, is_upload_urgent=True) == NOW


def test_upload_that_was_paused_is_due_at_the_next_tick_however_long_it_was() -> None:
    assert retry_at(Code.UPLOAD_PAUSED, NOW, tries=500, is_upload_urgent=False) == NOW


@pytest.mark.parametrize(
    ("known", "is_urgent"),
    [
        ({}, True),
        (serving(left=timedelta(days=2)), False),
        (serving(left=timedelta(hours=23)), True),
        (serving(left=-timedelta(days=1)), True),
        (serving(left=timedelta(days=50), revoked_at=NOW), True),
    ],
    ids=["nothing", "two days", "hours", "expired", "revoked"],
)
def test_upload_is_urgent_unless_what_is_served_is_valid_for_a_day(
    known: dict[str, object], is_urgent: bool
) -> None:
    assert is_upload_urgent(domain(**known), NOW) is is_urgent


def test_failed_uploads_are_counted_in_a_row_and_by_themselves() -> None:
    before = None
    for code in (Code.CA_UNAVAILABLE, Code.C4_REJECTED, Code.C4_UPLOAD_FAILED, Code.C4_REJECTED):
        before = Finding(code, "", "", NOW, NOW, count_tries(before, code))
    assert before is not None
    assert before.tries == 3
    assert count_tries(before, Code.CHALLENGE_FAILED) == 1
    assert count_tries(Finding(Code.UPLOAD_PAUSED, "", "", NOW, NOW, 9), Code.C4_REJECTED) == 1


def test_dns_that_alternates_does_not_restart_the_count_of_failed_challenges() -> None:
    """Else each look that finds the domain at the CDN would be followed by another order, dozens a day."""
    before, tries = None, list[int]()
    for code in (
        Code.CNAME_ELSEWHERE,
        Code.CHALLENGE_FAILED,
        Code.NXDOMAIN,
        Code.CHALLENGE_UNREACHABLE,
        Code.CNAME_MISSING,
    ):
        before = Finding(code, "", "", NOW, NOW, count_tries(before, code))
        tries.append(before.tries)
    assert tries == [0, 1, 1, 2, 2]
    assert count_tries(before, Code.CHALLENGE_FAILED) == 3
    assert count_tries(Finding(Code.DNS_UNANSWERED, "", "", NOW, NOW, 3), Code.CNAME_ELSEWHERE) == 0
