"""What a pass that failed changes: every earlier finding against every step that does not answer, and suspicions."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from sslctl.rules.model import Caution, Domain, Finding, Suspicion, Unconfirmed
from sslctl.rules.pass_result import (
    Problem,
    Step,
    conclude_dns_check,
    conclude_pass,
    conclude_suspicion,
    is_suspicious,
    step_of,
)
from sslctl.rules.reasons import Code, Status
from tests.unit.rules.builders import NOW, certificate, domain, finding, serving

UNANSWERED = (
    (Code.C4_UNANSWERED, Step.C4_RECORD),
    (Code.C4_TOKEN_REFUSED, Step.C4_RECORD),
    (Code.DNS_UNANSWERED, Step.DNS),
    (Code.DNS_UNANSWERED, Step.CAA),
    (Code.TARGET_UNANSWERED, Step.DNS),
    (Code.RESOLVERS_DISAGREE, Step.DNS),
    (Code.RESOLVERS_DISAGREE, Step.CAA),
    (Code.CA_UNAVAILABLE, Step.CA),
    (Code.CA_RATE_LIMITED, Step.CA),
    (Code.C4_UNANSWERED, Step.READ_BACK),
)
# Warnings, and what is derived: no pass ends with these.
NO_FINDINGS = {
    Code.CERT_EXPIRED, Code.KEY_MISSING, Code.TEXT_EXPIRES, Code.DEPARTED, Code.C4_LOST, Code.OTHER_CERTIFICATE,
    Code.OTHER_EXPIRED, Code.ADDRESS_UNANSWERED, Code.TARGET_ADDRESS_UNANSWERED, Code.SUFFIX_UNKNOWN,
    Code.BEFORE_CUTOVER, Code.CUTOVER_LATE,
}  # fmt: skip
# Nobody was asked. Its tests are in test_maintenance_pause.py.
HELD = {Code.MAINTENANCE}
ANSWERS = sorted(set(Code) - NO_FINDINGS - HELD - {code for code, _ in UNANSWERED})
SHARED = sorted(code for code in ANSWERS if Step.PORTS <= step_of(code) <= Step.PROBE)
SUSPICIOUS = (Code.C4_UNKNOWN_DOMAIN, *SHARED)
HOUR = timedelta(hours=1)


def ended(known: Domain, code: Code, step: Step | None = None, *, is_due: bool = True) -> Domain:
    """Return `known` after a pass that ended so."""
    result = conclude_pass(known, Problem(code, step=step), NOW, is_due=is_due, is_dns_good=False)
    return replace(
        known,
        finding=result.finding,
        unconfirmed=result.unconfirmed,
        suspicion=result.suspicion,
        caution=result.caution,
    )


@pytest.mark.parametrize(("code", "step"), UNANSWERED)
@pytest.mark.parametrize("is_served", [True, False])
@pytest.mark.parametrize("earlier", ANSWERS)
def test_step_without_an_answer_keeps_findings_of_itself_and_of_later_steps_only(
    earlier: Code, code: Code, step: Step, *, is_served: bool
) -> None:
    known = domain(finding=finding(earlier), **(serving() if is_served else {}))
    after = ended(known, code, step)
    if step_of(earlier) >= step:
        assert after.finding == known.finding
        assert after.unconfirmed is not None
        assert (after.unconfirmed.code, after.unconfirmed.since) == (code, NOW)
    elif is_served and step < Step.CA:
        # It is still known that it is served: as without an earlier finding.
        assert (after.finding, after.unconfirmed and after.unconfirmed.code) == (None, code)
    else:
        assert after.finding is not None
        assert (after.finding.code, after.finding.reason.status) == (code, Status.PENDING)
        assert after.unconfirmed is None


@pytest.mark.parametrize(("code", "step"), UNANSWERED)
def test_domain_about_which_nothing_is_known_becomes_pending_without_an_answer(
    code: Code, step: Step
) -> None:
    after = ended(domain(), code, step)
    assert after.finding is not None
    assert (after.finding.code, after.unconfirmed) == (code, None)


@pytest.mark.parametrize(("code", "step"), UNANSWERED)
def test_expired_domain_is_unconfirmed_without_an_answer_until_the_ca_is_asked(
    code: Code, step: Step
) -> None:
    after = ended(domain(**serving(left=-HOUR)), code, step)
    known = (after.finding and after.finding.code, after.unconfirmed and after.unconfirmed.code)
    assert known == ((None, code) if step < Step.CA else (code, None))


@pytest.mark.parametrize("is_served", [True, False])
@pytest.mark.parametrize("earlier", SHARED)
def test_answer_that_the_ca_did_not_get_from_dns_ends_the_findings_of_our_own_look_at_dns(
    earlier: Code, *, is_served: bool
) -> None:
    known = domain(finding=finding(earlier), **(serving() if is_served else {}))
    after = ended(known, Code.DNS_UNANSWERED, Step.CA)
    codes = (after.finding and after.finding.code, after.unconfirmed and after.unconfirmed.code)
    assert codes == ((None, Code.DNS_UNANSWERED) if is_served else (Code.DNS_UNANSWERED, None))


@pytest.mark.parametrize(("code", "step"), UNANSWERED)
@pytest.mark.parametrize("left", [timedelta(days=3), timedelta(days=-3)])
def test_step_without_an_answer_keeps_warnings_and_suspicions_of_later_steps_only(
    code: Code, step: Step, left: timedelta
) -> None:
    for shared in SHARED:
        caution, suspicion = Caution(shared, "", "", NOW), Suspicion(shared, "", "", NOW, NOW)
        after = ended(domain(caution=caution, suspicion=suspicion, **serving(left=left)), code, step)
        if after.unconfirmed is not None:
            is_kept = step_of(shared) >= step
            assert (after.caution, after.suspicion) == ((caution, suspicion) if is_kept else (None, None))


@pytest.mark.parametrize("first", sorted({code for code, _ in UNANSWERED}))
@pytest.mark.parametrize(("second", "second_step"), UNANSWERED)
def test_unconfirmed_keeps_its_first_time_and_counts_its_tries(
    first: Code, second: Code, second_step: Step
) -> None:
    known = domain(
        finding=finding(Code.C4_ACTIVATING),
        unconfirmed=Unconfirmed(first, "", NOW - HOUR, NOW, 2),
        **serving(),
    )
    after = ended(known, second, second_step).unconfirmed
    assert after is not None
    assert (after.code, after.since, after.tries) == (second, NOW - HOUR, 3)
    assert after.retry_at > NOW


@pytest.mark.parametrize("code", [Code.C4_MISMATCH, Code.C4_UPLOAD_FAILED, Code.C4_REJECTED])
def test_owed_upload_is_retried_at_the_next_tick_while_c4_does_not_answer(code: Code) -> None:
    known = domain(finding=finding(code), unconfirmed=Unconfirmed(Code.C4_UNANSWERED, "", NOW, NOW, 9))
    after = ended(known, Code.C4_UNANSWERED)
    assert (after.finding, after.unconfirmed and after.unconfirmed.retry_at) == (known.finding, NOW)
    asked = Problem(Code.C4_UNANSWERED, retry_after=NOW + HOUR)
    result = conclude_pass(known, asked, NOW, is_due=True, is_dns_good=False)
    assert result.unconfirmed is not None
    assert result.unconfirmed.retry_at == NOW + HOUR


@pytest.mark.parametrize("later", [Code.CA_UNAVAILABLE, Code.CA_RATE_LIMITED, Code.MAINTENANCE])
@pytest.mark.parametrize("code", [Code.DNS_UNANSWERED, Code.C4_UNANSWERED])
def test_served_domain_stays_pending_if_an_earlier_step_does_not_answer_than_before(
    later: Code, code: Code
) -> None:
    known = domain(finding=finding(later), **serving())
    after = ended(known, code)
    assert (after.finding, after.unconfirmed and after.unconfirmed.code) == (known.finding, code)
    again = ended(domain(finding=finding(code), **serving()), code)
    assert (again.finding, again.unconfirmed and again.unconfirmed.code) == (None, code)


@pytest.mark.parametrize(("code", "step"), UNANSWERED)
def test_answer_ends_what_was_unconfirmed(code: Code, step: Step) -> None:
    known = domain(finding=finding(Code.C4_MISMATCH), unconfirmed=Unconfirmed(code, "", NOW, NOW))
    for answer in ANSWERS:
        assert ended(known, answer).unconfirmed is None, (answer, step)
    result = conclude_pass(known, None, NOW, is_due=False, is_dns_good=True)
    assert (result.finding, result.unconfirmed) == (None, None)


@pytest.mark.parametrize("is_due", [True, False])
@pytest.mark.parametrize("code", ANSWERS)
def test_only_bad_answers_of_shared_parties_are_suspicious(code: Code, *, is_due: bool) -> None:
    assert is_suspicious(domain(**serving()), code, NOW, is_due=is_due) is (code in SUSPICIOUS)
    assert not is_suspicious(domain(), code, NOW, is_due=is_due)


def test_unknown_domain_is_suspicious_after_a_restore_when_it_is_not_known_what_c4_has() -> None:
    held = certificate(verified_at=NOW)
    assert is_suspicious(domain(wanted=held), Code.C4_UNKNOWN_DOMAIN, NOW, is_due=True)
    assert not is_suspicious(domain(wanted=certificate()), Code.C4_UNKNOWN_DOMAIN, NOW, is_due=True)


@pytest.mark.parametrize("is_due", [True, False])
def test_expired_certificate_is_in_doubt_only_if_c4_does_not_know_the_domain(*, is_due: bool) -> None:
    expired = domain(**serving(left=-HOUR))
    assert [code for code in ANSWERS if is_suspicious(expired, code, NOW, is_due=is_due)] == [
        Code.C4_UNKNOWN_DOMAIN
    ]


@pytest.mark.parametrize("code", SUSPICIOUS)
def test_answer_that_is_known_already_is_no_suspicion_again(code: Code) -> None:
    known = domain(finding=finding(code), **serving())
    assert ended(known, code).suspicion is None
    warned = domain(caution=Caution(code, "", "", NOW), **serving())
    assert ended(warned, code, is_due=False).suspicion is None


@pytest.mark.parametrize("code", SHARED)
def test_warning_becomes_a_suspicion_once_the_renewal_is_due(code: Code) -> None:
    warned = domain(caution=Caution(code, "", "", NOW), **serving())
    after = ended(warned, code, is_due=True)
    assert (after.finding, after.caution, after.suspicion and after.suspicion.code) == (
        None,
        warned.caution,
        code,
    )


@pytest.mark.parametrize("code", SUSPICIOUS)
def test_suspicion_changes_neither_finding_nor_what_is_served(code: Code) -> None:
    known = domain(finding=finding(Code.C4_REJECTED), **serving())
    after = ended(known, code)
    assert (after.finding, after.serving) == (known.finding, known.serving)
    assert after.suspicion is not None
    assert (after.suspicion.code, after.suspicion.since) == (code, NOW)


def test_same_suspicion_keeps_its_first_time_and_another_one_starts_anew() -> None:
    known = domain(suspicion=Suspicion(Code.NXDOMAIN, "", "", NOW - HOUR, NOW - HOUR), **serving())
    same, other = ended(known, Code.NXDOMAIN).suspicion, ended(known, Code.CNAME_MISSING).suspicion
    assert same is not None
    assert other is not None
    assert (same.since, same.at, other.since) == (NOW - HOUR, NOW, NOW)


@pytest.mark.parametrize(
    ("age", "accepted", "is_believed"),
    [(0, False, False), (49, False, False), (50, False, True), (-60, False, False), (0, True, True)],
)
def test_served_domain_is_discarded_after_50_minutes_or_by_a_person(
    age: int, *, accepted: bool, is_believed: bool
) -> None:
    since = NOW - timedelta(minutes=age)
    known = domain(suspicion=Suspicion(Code.C4_UNKNOWN_DOMAIN, "", "", since, NOW), **serving())
    result = conclude_suspicion(known, NOW, is_due=True, accepted=accepted)
    believed: Finding | None = result.finding
    assert (believed is not None and believed.reason.status is Status.DISCARD) is is_believed
    assert result == known.result or is_believed


@pytest.mark.parametrize("code", SHARED)
def test_believed_suspicion_is_a_warning_before_the_renewal_and_a_finding_from_then_on(code: Code) -> None:
    known = domain(suspicion=Suspicion(code, "", "", NOW, NOW), **serving())
    early = conclude_suspicion(known, NOW, is_due=False)
    late = conclude_suspicion(known, NOW, is_due=True)
    assert (early.finding, early.caution and early.caution.code) == (None, code)
    assert (late.caution, late.finding and late.finding.code) == (None, code)


@pytest.mark.parametrize("problem", [None, Problem(Code.CHALLENGE_FAILED), Problem(Code.C4_ACTIVATING)])
@pytest.mark.parametrize("is_due", [True, False])
def test_pass_keeps_what_prevents_no_order_as_a_warning_whatever_it_ended_with(
    problem: Problem | None, *, is_due: bool
) -> None:
    warning = Problem(Code.ADDRESS_UNANSWERED, "AAAA of a.test: SERVFAIL")
    known = domain(**serving())
    plain = conclude_pass(known, problem, NOW, is_due=is_due, is_dns_good=True)
    result = conclude_pass(known, problem, NOW, is_due=is_due, is_dns_good=True, warning=warning)
    assert result == replace(plain, caution=Caution(warning.code, warning.found, "", NOW))


def test_warning_keeps_its_time_while_it_lasts_and_ends_when_dns_is_good() -> None:
    warning = Problem(Code.ADDRESS_UNANSWERED, "AAAA of a.test: SERVFAIL")
    since = NOW - HOUR
    known = domain(caution=Caution(warning.code, "AAAA of a.test: REFUSED", "", since), **serving())
    for result in (
        conclude_pass(known, None, NOW, is_due=False, is_dns_good=True, warning=warning),
        conclude_dns_check(known, warning, NOW),
    ):
        assert result.caution == Caution(warning.code, warning.found, "", since)
        assert (result.finding, result.suspicion) == (None, None)
    assert conclude_pass(known, None, NOW, is_due=False, is_dns_good=True).caution is None
    assert conclude_dns_check(known, None, NOW).caution is None
