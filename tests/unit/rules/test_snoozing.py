"""Snoozes: what they hide, what ends them, and what cannot be snoozed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from sslctl.errors import BadInput
from sslctl.rules.model import Caution, Domain, Installed, Source, State, Suspicion
from sslctl.rules.reasons import Code, Status
from sslctl.rules.remarks import Remarks, Snooze
from sslctl.rules.snoozing import is_snoozed, latest_end, make_snooze, snoozed_until, why_ended
from tests.unit.rules.builders import NOW, certificate, domain, finding, serving

DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
END = NOW + 20 * DAY

ELSEWHERE = {"finding": finding(Code.CNAME_ELSEWHERE)}
NEVER_SERVED = domain(**ELSEWHERE)
FAILING = domain(**ELSEWHERE, **serving(left=40 * DAY))
LEFT = domain(**serving(left=60 * DAY), caution=Caution(Code.CNAME_ELSEWHERE, "this", "that", NOW - DAY))
TEXT = domain(source=Source.TEXT, **serving(left=20 * DAY, source=Source.TEXT))
EXPIRED = domain(**ELSEWHERE, **serving(left=-DAY))
REFUSED = domain(
    finding=finding(Code.C4_REJECTED),
    wanted=certificate(2, left=90 * DAY),
    serving=certificate(left=40 * DAY),
)


def snoozed(known: Domain, until: timedelta = END - NOW) -> Domain:
    return replace(known, remarks=Remarks(snooze=make_snooze(known, NOW + until, NOW)))


def why(known: Domain, after: timedelta = timedelta(0)) -> str:
    assert known.remarks.snooze is not None
    return why_ended(known, known.remarks.snooze, NOW + after)


@pytest.mark.parametrize("known", [NEVER_SERVED, FAILING, LEFT, TEXT, EXPIRED, REFUSED], ids=range(6))
def test_known_trouble_is_snoozed_until_the_end(known: Domain) -> None:
    asleep = snoozed(known, 10 * DAY)
    assert not is_snoozed(known, NOW)
    assert is_snoozed(asleep, NOW)
    assert is_snoozed(asleep, NOW + 10 * DAY - SECOND)
    assert not is_snoozed(asleep, NOW + 10 * DAY)
    assert snoozed_until(asleep, NOW) == NOW + 10 * DAY
    assert snoozed_until(asleep, NOW + 10 * DAY) is None


@pytest.mark.parametrize(
    ("known", "changes", "reason"),
    [
        (LEFT, {"finding": finding(Code.CNAME_ELSEWHERE)}, "the status was Success and is Failure"),
        (FAILING, {"finding": finding(Code.C4_REJECTED)}, "the status was Failure and is Emergency"),
        (FAILING, {"finding": finding(Code.C4_UNKNOWN_DOMAIN)}, "the status was Failure and is Discard"),
        (FAILING, {"finding": finding(Code.CAA_FORBIDS)}, "CAA_FORBIDS is new"),
        (LEFT, {"caution": Caution(Code.CAA_FORBIDS, "", "", NOW)}, "CAA_FORBIDS is new"),
        (
            FAILING,
            {"suspicion": Suspicion(Code.C4_UNKNOWN_DOMAIN, "", "", NOW, NOW)},
            "C4_UNKNOWN_DOMAIN is new",
        ),
        (
            FAILING,
            {"foreign": Installed(Source.TEXT, "cd" * 32, NOW + 60 * DAY, State.ACTIVE), "serving": None},
            "OTHER_CERTIFICATE is new",
        ),
        (FAILING, {"serving": None}, "nothing valid is served any more"),
        (REFUSED, {"serving": None}, "nothing valid is served any more"),
    ],
)
def test_new_trouble_ends_the_snooze_and_its_end_resumes_it(
    known: Domain, changes: dict[str, object], reason: str
) -> None:
    asleep = snoozed(known)
    worse = replace(asleep, **changes)  # type: ignore[arg-type]
    assert not is_snoozed(worse, NOW)
    assert why(worse) == reason
    assert is_snoozed(asleep, NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"finding": finding(Code.QUEUED)},
        {"finding": finding(Code.CA_VALIDATING)},
        {"finding": None},
        {"finding": None, "caution": Caution(Code.CNAME_ELSEWHERE, "", "", NOW)},
    ],
)
def test_trouble_that_is_no_worse_stays_snoozed(changes: dict[str, object]) -> None:
    assert is_snoozed(replace(snoozed(FAILING), **changes), NOW)  # type: ignore[arg-type]


def test_domain_that_left_the_cdn_stays_snoozed_when_the_warning_becomes_departed() -> None:
    assert is_snoozed(snoozed(LEFT), NOW + 15 * DAY)
    departed = replace(LEFT, caution=Caution(Code.CNAME_ELSEWHERE, "this", "that", NOW - 8 * DAY))
    assert is_snoozed(snoozed(departed), NOW)


@pytest.mark.parametrize(("known", "left"), [(FAILING, 40), (TEXT, 20), (REFUSED, 40)], ids=range(3))
def test_nothing_is_snoozed_in_the_last_days_of_what_is_served_nor_after(known: Domain, left: int) -> None:
    asleep = snoozed(known, 60 * DAY)
    assert is_snoozed(asleep, NOW + (left - 3) * DAY - SECOND)
    assert why(asleep, (left - 3) * DAY) == "what is served expires in 3 days"
    for hours in (1, 71, 72, 73, 200):
        assert not is_snoozed(asleep, NOW + (left - 3) * DAY + timedelta(hours=hours))
    assert latest_end(asleep, make_snooze(known, NOW + 60 * DAY, NOW)) == NOW + (left - 3) * DAY


def test_refused_pair_is_not_snoozed_after_what_was_served_has_expired() -> None:
    """Its status stays Emergency, which is no worse than before."""
    asleep = snoozed(REFUSED, 60 * DAY)
    assert why(asleep, 41 * DAY) == "nothing valid is served any more"


def test_site_that_was_dark_stays_snoozed() -> None:
    assert is_snoozed(snoozed(EXPIRED), NOW + 10 * DAY)
    assert latest_end(EXPIRED, make_snooze(EXPIRED, END, NOW)) == END
    assert latest_end(NEVER_SERVED, make_snooze(NEVER_SERVED, END, NOW)) == END


def test_first_certificate_is_not_snoozed_in_its_last_days() -> None:
    later = replace(snoozed(NEVER_SERVED), **serving(left=2 * DAY))  # type: ignore[arg-type]
    assert why(later) == "what is served expires in 2 days"


def test_snooze_from_a_clock_that_was_ahead_is_not_in_force() -> None:
    asleep = snoozed(NEVER_SERVED, 89 * DAY)
    assert is_snoozed(asleep, NOW - DAY)
    assert why(asleep, -30 * DAY) == "it was set while the clock was wrong"
    assert is_snoozed(asleep, NOW)


@pytest.mark.parametrize(
    ("known", "until", "message"),
    [
        (FAILING, timedelta(0), "which is over"),
        (FAILING, -DAY, "which is over"),
        (FAILING, 90 * DAY + SECOND, "the longest is 90 days"),
        (domain(**serving()), DAY, "nothing to snooze"),
        (domain(**ELSEWHERE, **serving(left=3 * DAY)), DAY, "expires in 3 days"),
        (domain(**ELSEWHERE, **serving(left=SECOND)), DAY, "are never snoozed"),
    ],
)
def test_snooze_that_would_hide_nothing_or_too_much_is_refused(
    known: Domain, until: timedelta, message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        make_snooze(known, NOW + until, NOW)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (NEVER_SERVED, Snooze(END, Status.FAILURE, frozenset({Code.CNAME_ELSEWHERE}), is_dark=True)),
        (LEFT, Snooze(END, Status.SUCCESS, frozenset({Code.CNAME_ELSEWHERE}), is_dark=False)),
        (TEXT, Snooze(END, Status.SUCCESS, frozenset({Code.TEXT_EXPIRES}), is_dark=False)),
        (domain(finding=finding(Code.QUEUED)), Snooze(END, Status.PENDING, frozenset(), is_dark=True)),
    ],
    ids=range(4),
)
def test_snooze_holds_the_trouble_of_its_time(known: Domain, expected: Snooze) -> None:
    assert make_snooze(known, END, NOW) == expected
