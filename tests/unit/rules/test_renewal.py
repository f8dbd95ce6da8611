"""When a certificate is renewed: by its expiry and, depending on `renewal.ari`, by the window of the CA."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslctl.fleet.ari_polling import DEFAULT_RETRY_AFTER, MAX_RETRY_AFTER, MIN_RETRY_AFTER, to_renewal_info
from sslctl.issuer import RenewalWindow
from sslctl.rules import schedule
from sslctl.rules.model import Certificate, Domain, Installed, Leaf, RenewalInfo, Source, State
from sslctl.rules.renewal import Ari, Renewal, RenewalRule, Trigger, is_plausible, renewal_at
from sslctl.rules.schedule import DueWork, Work

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
WEEK, DAY, HOUR = timedelta(days=7), timedelta(days=1), timedelta(hours=1)
SECOND = timedelta(seconds=1)


def served(asked: timedelta | None, lifetime: timedelta = timedelta(days=100), url: str = "") -> Certificate:
    """Return a certificate issued now that the CA wants renewed `asked` after now, or None for no window."""
    leaf = Leaf(("a.test",), "ab" * 32, "1f", "CN=CA", "ECDSA P-256", NOW, NOW + lifetime)
    info = (
        None if asked is None else RenewalInfo(NOW + asked - HOUR, NOW + asked + HOUR, NOW + asked, NOW, url)
    )
    return Certificate(1, 1, 1, Source.C4, leaf, NOW, renewal_info=info)


def picks() -> Random:
    return Random(1)  # noqa: S311 - a test wants the same each time


def due(certificate: Certificate, after: timedelta, rule: RenewalRule) -> DueWork | None:
    domain = Domain(1, "a.test", (), Source.C4, NOW, wanted=certificate, serving=certificate)
    return schedule.find_due_work(domain, NOW + after, rule)


_lengths = st.timedeltas(timedelta(seconds=1), timedelta(days=400))
_certificates = st.builds(
    served, st.none() | st.timedeltas(timedelta(days=-400), timedelta(days=800)), _lengths
)
_rules = st.builds(RenewalRule, _lengths, st.sampled_from(Ari))


@given(_certificates, _rules)
def test_renew_at_is_never_later_than_the_time_by_expiry(certificate: Certificate, rule: RenewalRule) -> None:
    assert rule.renew_at(certificate) <= renewal_at(certificate.leaf, rule.before)
    assert rule.renew_at(certificate) < certificate.not_after


@given(_certificates, _lengths)
def test_renew_at_ignores_the_ca_when_ari_is_off(certificate: Certificate, before: timedelta) -> None:
    assert RenewalRule(before, Ari.OFF).renew_at(certificate) == renewal_at(certificate.leaf, before)


@given(_certificates, _lengths)
def test_renew_at_takes_the_earlier_time_when_ari_is_follow(
    certificate: Certificate, before: timedelta
) -> None:
    by_expiry, info = renewal_at(certificate.leaf, before), certificate.renewal_info
    is_usable = info is not None and is_plausible(certificate.leaf, info.start_at, info.end_at)
    # A day after it was issued, at the earliest.
    expected = min(by_expiry, max(info.renew_at, NOW + DAY)) if info is not None and is_usable else by_expiry
    assert RenewalRule(before, Ari.FOLLOW).renew_at(certificate) == expected


@given(_certificates, _lengths)
def test_renew_at_follows_only_an_incident_when_ari_is_incident(
    certificate: Certificate, before: timedelta
) -> None:
    info, rule = certificate.renewal_info, RenewalRule(before, Ari.INCIDENT)
    early = info is not None and rule.is_incident(certificate.leaf, info)
    as_if = RenewalRule(before, Ari.FOLLOW if early else Ari.OFF)
    assert rule.renew_at(certificate) == as_if.renew_at(certificate)


@given(_certificates, _rules, st.timedeltas(timedelta(days=-400), timedelta(days=800)))
def test_find_due_work_agrees_with_renew_at(
    certificate: Certificate, rule: RenewalRule, after: timedelta
) -> None:
    assert (due(certificate, after, rule) is not None) == (rule.renew_at(certificate) <= NOW + after)


@given(_certificates, _rules, st.timedeltas(timedelta(days=-400), timedelta(days=800)), st.booleans())
def test_next_renewal_is_the_time_from_which_work_is_due(
    certificate: Certificate, rule: RenewalRule, after: timedelta, is_revoked: bool
) -> None:
    now = NOW + after
    certificate = replace(certificate, revoked_at=now if is_revoked else None)
    domain = Domain(1, "a.test", (), Source.C4, NOW, wanted=certificate, serving=certificate)
    renewal = schedule.next_renewal(domain, now, rule)
    assert renewal is not None
    assert (schedule.find_due_work(domain, now, rule) is not None) == (renewal.at <= now)


@pytest.mark.parametrize(
    ("source", "at", "trigger"),
    [(Source.C4, 43 * DAY, Trigger.EXPIRY), (Source.TEXT, 50 * DAY, Trigger.FOREIGN_EXPIRY)],
    ids=str,
)
def test_next_renewal_replaces_another_certificate_on_c4_when_it_is_due(
    source: Source, at: timedelta, trigger: Trigger
) -> None:
    foreign = Installed(source, "cd" * 32, NOW + 50 * DAY, State.ACTIVE)
    domain = Domain(1, "a.test", (), Source.C4, NOW, foreign=foreign)
    assert schedule.next_renewal(domain, NOW, RenewalRule()) == Renewal(NOW + at, trigger)
    assert schedule.find_due_work(domain, NOW + at - SECOND, RenewalRule()) is None
    assert schedule.find_due_work(domain, NOW + at, RenewalRule()) is not None


def is_incident(start: timedelta, end: timedelta, lifetime: timedelta, before: timedelta = WEEK) -> bool:
    """Return whether a window so long after the beginning of a certificate is an incident."""
    leaf = served(None, lifetime).leaf
    return RenewalRule(before).is_incident(leaf, RenewalInfo(NOW + start, NOW + end, NOW + start, NOW))


@pytest.mark.parametrize(
    ("start", "end", "lifetime", "before", "expected"),
    [
        (0 * DAY, 60 * DAY - SECOND, 100 * DAY, WEEK, True),
        (0 * DAY, 60 * DAY, 100 * DAY, WEEK, False),
        # It begins early, and ends in time.
        (DAY, 99 * DAY, 100 * DAY, WEEK, False),
        # Our own renewal time comes before 60 %.
        (0 * DAY, 55 * DAY, 100 * DAY, 50 * DAY, False),
        (0 * DAY, 50 * DAY - SECOND, 100 * DAY, 50 * DAY, True),
        (0 * DAY, 3 * DAY, 6 * DAY, WEEK, False),
        (0 * DAY, 3 * DAY - SECOND, 6 * DAY, WEEK, True),
        # A window that ended before the certificate began is none.
        (-DAY, 0 * DAY, 100 * DAY, WEEK, False),
        (-DAY, SECOND, 100 * DAY, WEEK, True),
    ],
    ids=str,
)
def test_incident_is_a_window_that_ends_before_60_percent_of_the_lifetime_and_our_own_renewal_time(
    start: timedelta, end: timedelta, lifetime: timedelta, before: timedelta, expected: bool
) -> None:
    assert is_incident(start, end, lifetime, before) is expected


LIFETIMES = (90 * DAY, 64 * DAY, 45 * DAY, 160 * HOUR)


def usual_window(lifetime: timedelta) -> tuple[timedelta, timedelta]:
    """Return the window of Let's Encrypt, after the certificate's beginning (`RenewalInfoSimple` in boulder's core/objects.go).

    It is centred on two thirds of the lifetime, or on half of it below ten days, with 1 % on either side.
    """
    validity = lifetime + SECOND
    ideal = lifetime - (validity / 2 if validity < 10 * DAY else validity / 3)
    margin = validity / 100
    return ideal - margin, ideal + margin


@pytest.mark.parametrize("lifetime", LIFETIMES, ids=str)
@pytest.mark.parametrize("before", [WEEK, DAY, 30 * DAY, 45 * DAY], ids=str)
def test_usual_window_of_lets_encrypt_is_no_incident(lifetime: timedelta, before: timedelta) -> None:
    start, end = usual_window(lifetime)
    assert not is_incident(start, end, lifetime, before)
    for second in range(101):
        picked = NOW + start + (end - start) * second / 100
        info = RenewalInfo(NOW + start, NOW + end, picked, NOW)
        certificate = replace(served(None, lifetime), renewal_info=info)
        by_expiry = renewal_at(certificate.leaf, before)
        assert RenewalRule(before, Ari.INCIDENT).renew_at(certificate) == by_expiry
        assert RenewalRule(before, Ari.FOLLOW).renew_at(certificate) == min(picked, by_expiry)


@pytest.mark.parametrize("lifetime", LIFETIMES, ids=str)
def test_window_of_lets_encrypt_in_the_past_is_an_incident(lifetime: timedelta) -> None:
    """In an incident the window begins an hour ago and lasts for 30 minutes (`RenewalInfoImmediate`)."""
    for percent in range(3, 50):
        now = lifetime * percent / 100
        assert is_incident(now - HOUR, now - HOUR / 2, lifetime)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (DAY, 2 * DAY, True),
        (-400 * DAY, SECOND, True),
        (100 * DAY - SECOND, 400 * DAY, True),
        (-400 * DAY, 400 * DAY, True),
        (-2 * DAY, -DAY, False),
        (-DAY, 0 * DAY, False),
        (100 * DAY, 101 * DAY, False),
        (DAY, DAY, False),
        (2 * DAY, DAY, False),
    ],
    ids=str,
)
def test_window_is_ignored_unless_it_overlaps_the_lifetime(
    start: timedelta, end: timedelta, expected: bool
) -> None:
    certificate = served(None)
    assert is_plausible(certificate.leaf, NOW + start, NOW + end) is expected
    # A window that an earlier version stored is ignored too.
    info = RenewalInfo(NOW + start, NOW + end, NOW + DAY, NOW)
    renewed_at = RenewalRule(WEEK, Ari.FOLLOW).renew_at(replace(certificate, renewal_info=info))
    assert renewed_at == NOW + (DAY if expected else 93 * DAY)


@pytest.mark.parametrize("ari", [Ari.INCIDENT, Ari.FOLLOW])
@pytest.mark.parametrize(
    ("lifetime", "expected"),
    [
        (100 * DAY, Renewal(NOW + DAY, Trigger.CA_INCIDENT)),
        (160 * HOUR, Renewal(NOW + DAY, Trigger.CA_INCIDENT)),
        # It does not postpone our own renewal time.
        (30 * HOUR, Renewal(NOW + 15 * HOUR, Trigger.HALF_LIFETIME)),
    ],
    ids=str,
)
def test_certificate_is_not_replaced_early_on_the_day_of_its_issuance(
    ari: Ari, lifetime: timedelta, expected: Renewal
) -> None:
    info = RenewalInfo(NOW, NOW + HOUR, NOW + HOUR, NOW)
    certificate = replace(served(None, lifetime), renewal_info=info)
    assert RenewalRule(WEEK, ari).renewal_of(certificate) == expected


@pytest.mark.parametrize(
    ("ari", "asked", "after", "expected"),
    [
        (Ari.INCIDENT, 10 * DAY, 10 * DAY, Work.REPLACE),
        (Ari.INCIDENT, 10 * DAY, 10 * DAY - HOUR, None),
        (Ari.INCIDENT, 70 * DAY, 92 * DAY, None),
        (Ari.INCIDENT, 70 * DAY, 93 * DAY, Work.RENEW),
        (Ari.FOLLOW, 70 * DAY, 70 * DAY, Work.RENEW),
        (Ari.FOLLOW, 10 * DAY, 10 * DAY, Work.REPLACE),
        (Ari.FOLLOW, 99 * DAY, 93 * DAY, Work.RENEW),
        (Ari.OFF, 10 * DAY, 92 * DAY, None),
        (Ari.OFF, 10 * DAY, 93 * DAY, Work.RENEW),
        # Near its expiry the certificate is renewed, whatever the CA asked before.
        (Ari.INCIDENT, 10 * DAY, 95 * DAY, Work.RENEW),
    ],
    ids=str,
)
def test_find_due_work_replaces_after_an_early_request_and_renews_otherwise(
    ari: Ari, asked: timedelta, after: timedelta, expected: Work | None
) -> None:
    found = due(served(asked), after, RenewalRule(WEEK, ari))
    assert (found.work if found else None) is expected


def test_due_work_names_the_reason_of_the_ca() -> None:
    early = due(served(2 * DAY, url="https://ca.test/why"), 2 * DAY, RenewalRule())
    assert early == DueWork(Work.REPLACE, "the CA asks for its replacement early: https://ca.test/why")
    later = due(served(70 * DAY), 70 * DAY, RenewalRule(ari=Ari.FOLLOW))
    assert later == DueWork(Work.RENEW, "the CA asks for its renewal now")
    usual = due(served(DAY), 93 * DAY, RenewalRule())
    assert usual is not None
    assert usual.why == "its certificate expires 2027-03-03 12:00 SGT"


def test_find_due_work_renews_a_revoked_certificate_at_once() -> None:
    revoked = served(70 * DAY)
    revoked = Certificate(
        1, 1, 1, Source.C4, revoked.leaf, NOW, revoked_at=NOW, renewal_info=revoked.renewal_info
    )
    found = due(revoked, HOUR, RenewalRule())
    assert found == DueWork(Work.RENEW, "its certificate is revoked")


# The window of the CA, and what is stored of it

_suggestions = st.builds(
    lambda start, length: RenewalWindow(NOW + start, NOW + start + length, "", None),
    st.integers(-10_000_000, 10_000_000).map(lambda seconds: timedelta(seconds=seconds)),
    st.integers(1, 10_000_000).map(lambda seconds: timedelta(seconds=seconds)),
)


@given(_suggestions, st.randoms(use_true_random=False))
def test_renewal_time_is_picked_inside_the_window_in_whole_seconds(
    suggestion: RenewalWindow, random: Random
) -> None:
    kept = to_renewal_info(suggestion, None, NOW, random)
    assert suggestion.start_at <= kept.renew_at <= suggestion.end_at
    assert kept.renew_at.microsecond == 0


def test_renewal_times_are_distributed_evenly_over_the_window() -> None:
    suggestion = RenewalWindow(NOW, NOW + DAY)
    random = picks()
    hours = [(to_renewal_info(suggestion, None, NOW, random).renew_at - NOW) // HOUR for _ in range(24_000)]
    counts = [hours.count(hour) for hour in range(24)]
    # Six standard deviations of a fair share of 1,000.
    assert all(800 < count < 1200 for count in counts)


def test_renewal_time_is_kept_until_the_window_changes() -> None:
    random = picks()
    first = to_renewal_info(RenewalWindow(NOW, NOW + DAY), None, NOW, random)
    again = to_renewal_info(RenewalWindow(NOW, NOW + DAY, "https://ca.test/new"), first, NOW + HOUR, random)
    assert again.renew_at == first.renew_at
    assert (again.explanation_url, again.poll_at) == ("https://ca.test/new", NOW + HOUR + DEFAULT_RETRY_AFTER)
    for start, end in ((NOW + HOUR, NOW + DAY), (NOW, NOW + DAY + HOUR)):
        times = {to_renewal_info(RenewalWindow(start, end), first, NOW, random).renew_at for _ in range(5)}
        assert times != {first.renew_at}


@pytest.mark.parametrize(
    ("retry_after", "wait"),
    [
        (None, DEFAULT_RETRY_AFTER),
        (timedelta(0), MIN_RETRY_AFTER),
        (-DAY, MIN_RETRY_AFTER),
        (timedelta(seconds=61), timedelta(seconds=61)),
        (HOUR, HOUR),
        (DAY, MAX_RETRY_AFTER),
        (3650 * DAY, MAX_RETRY_AFTER),
    ],
    ids=str,
)
def test_poll_at_follows_the_retry_after_of_the_ca_between_a_minute_and_a_day(
    retry_after: timedelta | None, wait: timedelta
) -> None:
    retry_at = None if retry_after is None else NOW + retry_after
    assert (
        to_renewal_info(RenewalWindow(NOW, NOW + DAY, "", retry_at), None, NOW, picks()).poll_at == NOW + wait
    )
