"""The rules of status and time."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslctl.rules import schedule, versions
from sslctl.rules.model import Certificate, Domain, Finding, Leaf, Source
from sslctl.rules.reasons import REASONS, Code, Status
from sslctl.rules.renewal import RenewalRule, renewal_at
from sslctl.rules.schedule import Work, count_tries, retry_at
from sslctl.rules.singapore import format_duration, next_midnight
from sslctl.rules.status import derive_status, describe_serving
from sslctl.rules.versions import days_left, pick_reusable

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
WEEK = timedelta(days=7)


def leaf(
    *, left: timedelta, lifetime: timedelta = timedelta(days=90), names: tuple[str, ...] = ("a.test",)
) -> Leaf:
    end = NOW + left
    return Leaf(names, "ab" * 32, "1f", "CN=CA", "ECDSA P-256", end - lifetime, end)


def certificate(
    number: int = 1, *, left: timedelta = timedelta(days=60), source: Source = Source.C4, **kinds: object
) -> Certificate:
    stamps = {key: value for key, value in kinds.items() if key.endswith("_at")}
    rest = {key: value for key, value in kinds.items() if key not in stamps}
    return Certificate(number, 1, number, source, leaf(left=left, **rest), NOW, **stamps)  # type: ignore[arg-type]


def finding(code: Code, *, retry: timedelta | None = timedelta(0)) -> Finding:
    return Finding(code, "this", "that", NOW, None if retry is None else NOW + retry)


def domain(**changes: object) -> Domain:
    values: dict[str, object] = {
        "id": 1,
        "name": "a.test",
        "sans": (),
        "source": Source.C4,
        "created_at": NOW,
        "checked_at": NOW,
    }
    return Domain(**(values | changes))  # type: ignore[arg-type]


def serving(**kinds: object) -> dict[str, object]:
    held = certificate(**kinds)  # type: ignore[arg-type]
    return {"wanted": held, "serving": held}


def test_a_domain_that_is_served_and_without_finding_is_well() -> None:
    verdict = derive_status(domain(**serving()), NOW)
    assert verdict.status is Status.SUCCESS
    assert verdict.code is None


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.CERT_EXPIRED])
def test_every_reason_gives_its_status_an_owner_and_a_next_step(code: Code) -> None:
    verdict = derive_status(domain(finding=finding(code)), NOW)
    assert (verdict.status, verdict.code) == (REASONS[code].status, code)
    assert verdict.owner is not None
    assert verdict.sentence.endswith(".")
    assert verdict.next_step.endswith(".")


def test_expired_comes_true_at_the_very_second_without_any_tick() -> None:
    held = domain(**serving(left=timedelta(seconds=1)))
    assert derive_status(held, NOW).status is Status.SUCCESS
    assert derive_status(held, NOW + timedelta(seconds=1)).status is Status.EXPIRED


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (Code.C4_UNKNOWN_DOMAIN, Status.DISCARD),
        (Code.C4_REJECTED, Status.EMERGENCY),
        (Code.CNAME_ELSEWHERE, Status.EXPIRED),
        (Code.CA_RATE_LIMITED, Status.EXPIRED),
        (None, Status.EXPIRED),
    ],
)
def test_precedence_over_and_under_expired(code: Code | None, status: Status) -> None:
    held = domain(
        serving=certificate(1, left=-WEEK),
        wanted=certificate(2),
        finding=None if code is None else finding(code),
    )
    assert derive_status(held, NOW).status is status


def test_what_c4_did_not_take_is_no_emergency_any_more_once_it_has_expired() -> None:
    pasted = certificate(1, left=-WEEK, source=Source.TEXT)
    held = domain(source=Source.TEXT, wanted=pasted, finding=finding(Code.C4_REJECTED))
    assert derive_status(held, NOW).status is Status.EXPIRED
    assert derive_status(held, NOW - 2 * WEEK).status is Status.EMERGENCY


def test_an_expired_domain_says_why_its_renewal_fails_and_who_must_act() -> None:
    verdict = derive_status(domain(**serving(left=-WEEK), finding=finding(Code.CNAME_ELSEWHERE)), NOW)
    assert verdict.code is Code.CERT_EXPIRED
    assert verdict.also is not None
    assert verdict.also.code is Code.CNAME_ELSEWHERE
    assert verdict.owner == "customer"
    assert "found this, wanted that" in verdict.sentence


def test_a_held_certificate_that_expired_before_it_was_served_is_expired() -> None:
    held = domain(wanted=certificate(left=-WEEK))
    assert derive_status(held, NOW).status is Status.EXPIRED


def test_a_failing_renewal_shows_failure_and_what_is_still_served() -> None:
    held = domain(**serving(left=timedelta(days=9, hours=1)), finding=finding(Code.CNAME_ELSEWHERE))
    assert derive_status(held, NOW).status is Status.FAILURE
    assert describe_serving(held, NOW) == "valid, 9 days left"


@pytest.mark.parametrize(
    ("lifetime_days", "expected_days"), [(90, 7), (64, 7), (45, 7), (14, 7), (13, 6.5), (6, 3), (1, 0.5)]
)
def test_renewal_is_seven_days_before_expiry_but_never_before_half_of_the_lifetime(
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
)
def test_what_the_tick_owes(state: dict[str, object], work: Work | None) -> None:
    due = schedule.find_due_work(domain(**state), NOW, RenewalRule(WEEK))
    assert (due.work if due else None) is work


def test_failure_waits_for_the_next_midnight_in_singapore() -> None:
    assert retry_at(Code.NXDOMAIN, NOW) == datetime(2026, 11, 23, 16, 0, tzinfo=UTC)


@pytest.mark.parametrize("code", [Code.CA_UNAVAILABLE, Code.C4_ACTIVATING, Code.CHALLENGE_FAILED], ids=str)
def test_what_may_pass_by_itself_is_tried_again_ever_more_seldom_but_never_past_midnight(code: Code) -> None:
    waits = [retry_at(code, NOW, tries=tries) for tries in (1, 2, 3, 4, 5)]
    midnight = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)
    assert waits == [*(NOW + timedelta(minutes=m) for m in (1, 10, 100)), midnight, midnight]
    late = datetime(2026, 11, 23, 15, 59, 30, tzinfo=UTC)
    assert retry_at(code, late) == midnight


@pytest.mark.parametrize("wish", [timedelta(seconds=1), timedelta(days=42)])
def test_what_is_held_back_is_taken_up_at_its_own_time(wish: timedelta) -> None:
    assert retry_at(Code.BUDGET_HELD, NOW, NOW + wish) == NOW + wish


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
)
def test_only_trouble_that_backs_off_is_counted_and_only_in_a_row(
    codes: list[Code | None], tries: int
) -> None:
    before: Finding | None = None
    for code in codes:
        tried = 1 if code is None or code is Code.QUEUED else count_tries(before, code)
        before = None if code is None else Finding(code, "", "", NOW, NOW, tried)
    assert before is not None
    assert before.tries == tries


def test_emergency_is_for_the_next_tick_and_discard_for_a_person() -> None:
    assert retry_at(Code.C4_REJECTED, NOW) == NOW
    assert retry_at(Code.C4_UNKNOWN_DOMAIN, NOW) is None


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        (timedelta(hours=30), timedelta(hours=30)),
        (timedelta(seconds=1), timedelta(minutes=1)),
        (timedelta(days=-400), timedelta(minutes=1)),
        (timedelta(days=400), timedelta(days=7)),
    ],
)
def test_the_wish_of_the_ca_is_honoured_between_a_minute_and_a_week(
    wish: timedelta, expected: timedelta
) -> None:
    assert retry_at(Code.CA_RATE_LIMITED, NOW, NOW + wish) == NOW + expected


def test_the_wish_of_c4_never_skips_the_daily_recheck() -> None:
    midnight = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)
    soon = NOW + timedelta(minutes=5)
    assert retry_at(Code.C4_UNANSWERED, NOW, soon) == soon
    assert retry_at(Code.C4_UNANSWERED, NOW, NOW + timedelta(days=1)) == midnight


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis adds the zone
def test_next_midnight_is_singapores_and_within_a_day(at: datetime) -> None:
    midnight = next_midnight(at)
    assert timedelta(0) < midnight - at <= timedelta(days=1)
    assert (midnight.hour, midnight.minute, midnight.second, midnight.microsecond) == (16, 0, 0, 0)


def test_the_version_put_back_is_the_usable_one_that_lasts_longest() -> None:
    short, long = certificate(1, left=WEEK), certificate(2, left=2 * WEEK)
    gone = [
        certificate(3, left=-WEEK),
        certificate(4, left=9 * WEEK, revoked_at=NOW),
        certificate(5, left=9 * WEEK, names=("a.test", "b.test")),
        certificate(6, left=9 * WEEK, source=Source.TEXT),
    ]
    assert pick_reusable([*gone, short, long], ("a.test",), NOW) is long
    assert pick_reusable(gone, ("a.test",), NOW) is None


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(days=9, hours=23), "9 days"),
        (timedelta(days=1), "1 day"),
        (timedelta(minutes=61), "1 hour"),
        (timedelta(seconds=59), "59 seconds"),
        (timedelta(0), "0 seconds"),
    ],
)
def test_spans_are_rounded_down_to_one_unit(length: timedelta, text: str) -> None:
    assert format_duration(length) == text


@pytest.mark.parametrize(
    ("left", "days"),
    [
        (timedelta(hours=25), 1),
        (timedelta(hours=1), 0),
        (timedelta(hours=-1), -1),
        (timedelta(days=-2.5), -2),
    ],
)
def test_days_left_and_days_since(left: timedelta, days: int) -> None:
    assert days_left(leaf(left=left), NOW) == days


@pytest.mark.parametrize(
    ("stamps", "place", "fate"),
    [
        ({}, "both", "serving"),
        ({}, "wanted", "uploading"),
        ({"uploaded_at": NOW}, "wanted", "activating"),
        ({"verified_at": NOW}, "neither", "replaced"),
        ({}, "neither", "unused"),
        ({"left": -WEEK}, "neither", "expired"),
        ({"left": -WEEK}, "both", "expired"),
        ({"revoked_at": NOW}, "both", "revoked"),
    ],
)
def test_the_fate_of_a_version(stamps: dict[str, object], place: str, fate: str) -> None:
    version = certificate(**stamps)  # type: ignore[arg-type]
    held = domain(
        wanted=version if place in ("both", "wanted") else None, serving=version if place == "both" else None
    )
    assert versions.version_state(version, held, NOW) == fate


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
)
def test_what_a_clock_that_ran_ahead_put_off_is_due(
    code: Code, retry: timedelta | None, *, is_due: bool
) -> None:
    found = domain(finding=finding(code, retry=retry))
    assert (schedule.find_due_work(found, NOW, RenewalRule(WEEK)) is not None) is is_due
