"""What needs a person, and what only waits until waiting endangers something."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from sslctl.rules.concerns import HEALING, LASTING, find_concerns
from sslctl.rules.dns_record import DnsRecord
from sslctl.rules.model import Caution, Domain, Installed, Source, State, Suspicion, Unconfirmed
from sslctl.rules.reasons import FINDINGS, REASONS, Code, Owner, Status
from sslctl.rules.renewal import RenewalRule
from tests.support import words
from tests.unit.rules.builders import NOW, certificate, domain, finding, serving

DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
RULE = RenewalRule()
SERVED = serving(left=60 * DAY)
RECORD = DnsRecord("CNAME", "a.test", ("elsewhere.test",), ("a.cdn.test",))
# What waits for sslctl or for an outside service; all else needs a person at once.
WAITING = {
    Code.QUEUED, Code.CA_VALIDATING, Code.BUDGET_HELD, Code.MAINTENANCE, Code.C4_ACTIVATING, Code.CA_RATE_LIMITED,
    Code.CA_UNAVAILABLE, Code.DNS_UNANSWERED, Code.TARGET_UNANSWERED, Code.RESOLVERS_DISAGREE, Code.C4_UNANSWERED,
    Code.C4_CHANGED,
}  # fmt: skip
HELD = {code for code in WAITING if REASONS[code].owner is Owner.NOBODY}


def codes(known: Domain) -> list[tuple[Code, Owner]]:
    return [(concern.code, concern.owner) for concern in find_concerns(known, NOW, RULE)]


def owner_of(code: Code) -> Owner:
    owner = REASONS[code].owner
    return Owner.OPERATOR if owner is Owner.NOBODY else owner


@pytest.mark.parametrize("code", FINDINGS)
def test_finding_of_a_new_domain_needs_its_owner_unless_it_waits(code: Code) -> None:
    known = domain(finding=finding(code), created_at=NOW - DAY + SECOND)
    assert codes(known) == ([] if code in WAITING else [(code, REASONS[code].owner)])


@pytest.mark.parametrize("code", sorted(WAITING))
def test_finding_that_waits_needs_a_person_after_a_day_without_any_certificate_unless_sslctl_holds_it(
    code: Code,
) -> None:
    known = domain(finding=finding(code), created_at=NOW - DAY)
    assert codes(known) == ([] if code in HELD else [(code, REASONS[code].owner)])
    assert codes(replace(known, created_at=NOW + DAY)) == []


@pytest.mark.parametrize("code", sorted(WAITING))
def test_finding_that_waits_needs_a_person_from_the_second_threshold_before_the_expiry_on(code: Code) -> None:
    known = domain(finding=finding(code), **serving(left=3 * DAY))
    assert codes(known) == [(code, owner_of(code))]
    assert codes(domain(finding=finding(code), **serving(left=3 * DAY + SECOND))) == []


@pytest.mark.parametrize("code", sorted(WAITING))
def test_finding_that_waits_needs_a_person_if_the_certificate_is_not_served_for_a_day(code: Code) -> None:
    held = certificate(left=60 * DAY)
    known = domain(finding=finding(code), wanted=replace(held, issued_at=NOW - DAY))
    assert codes(known) == [(code, owner_of(code))]
    assert codes(replace(known, wanted=replace(held, issued_at=NOW - DAY + SECOND))) == []


def test_short_certificate_is_endangered_later() -> None:
    short = serving(left=1.4 * DAY, lifetime=6 * DAY)
    assert codes(domain(finding=finding(Code.CA_UNAVAILABLE), **short)) == []
    short = serving(left=1.2 * DAY, lifetime=6 * DAY)
    assert codes(domain(finding=finding(Code.CA_UNAVAILABLE), **short)) == [(Code.CA_UNAVAILABLE, Owner.CA)]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, (Code.CERT_EXPIRED, Owner.OPERATOR)),
        ({"finding": finding(Code.BUDGET_HELD)}, (Code.BUDGET_HELD, Owner.OPERATOR)),
        ({"finding": finding(Code.CA_UNAVAILABLE)}, (Code.CA_UNAVAILABLE, Owner.CA)),
        ({"finding": finding(Code.CNAME_MISSING)}, (Code.CNAME_MISSING, Owner.CUSTOMER)),
    ],
    ids=words,
)
def test_expired_domain_needs_who_blocks_its_renewal(
    facts: dict[str, object], expected: tuple[Code, Owner]
) -> None:
    assert codes(domain(**facts, **serving(left=timedelta(0)))) == [expected]


def test_domain_in_success_needs_nobody_until_its_renewal_is_late() -> None:
    assert codes(domain(**SERVED)) == []
    assert codes(domain(**serving(left=3 * DAY + SECOND))) == []
    assert codes(domain(**serving(left=3 * DAY))) == [(Code.QUEUED, Owner.OPERATOR)]


def test_step_that_did_not_answer_needs_a_person_only_if_the_renewal_is_late() -> None:
    doubt = Unconfirmed(Code.C4_UNANSWERED, "503", NOW, NOW)
    assert codes(domain(**SERVED, unconfirmed=doubt)) == []
    assert codes(domain(**serving(left=3 * DAY), unconfirmed=doubt)) == [(Code.C4_UNANSWERED, Owner.C4)]


@pytest.mark.parametrize("code", [code for code in Code if code not in HEALING])
def test_warning_needs_its_owner_whatever_the_status(code: Code) -> None:
    caution = Caution(code, "this", "that", NOW - DAY, (RECORD,))
    assert codes(domain(**SERVED, caution=caution)) == [(code, REASONS[code].owner)]
    found = find_concerns(domain(finding=finding(Code.CERT_WORSE), caution=caution), NOW, RULE)
    assert [(concern.code, concern.is_warning) for concern in found][:1] == [(Code.CERT_WORSE, False)]
    if code is not Code.CERT_WORSE:
        assert [(concern.code, concern.is_warning, concern.records) for concern in found[1:]] == [
            (code, True, (RECORD,))
        ]


@pytest.mark.parametrize("code", sorted(HEALING))
def test_warning_that_heals_needs_nobody(code: Code) -> None:
    assert codes(domain(**SERVED, caution=Caution(code, "this", "that", NOW))) == []


def test_certificate_whose_key_is_missing_needs_nobody_until_its_renewal_is_late() -> None:
    foreign = Installed(Source.C4, "cd" * 32, NOW + 60 * DAY, State.ACTIVE)
    assert codes(domain(wanted=certificate(), foreign=foreign)) == []
    late = replace(foreign, not_after=NOW + 3 * DAY)
    assert codes(domain(wanted=certificate(), foreign=late)) == [(Code.KEY_MISSING, Owner.OPERATOR)]


@pytest.mark.parametrize("code", sorted(LASTING))
def test_address_family_that_does_not_answer_needs_a_person_after_a_day(code: Code) -> None:
    caution = Caution(code, "this", "that", NOW - DAY)
    assert codes(domain(**SERVED, caution=caution)) == [(code, REASONS[code].owner)]
    assert codes(domain(**SERVED, caution=replace(caution, since=NOW - DAY + SECOND))) == []


def test_suspicion_needs_nobody() -> None:
    suspicion = Suspicion(Code.CNAME_MISSING, "this", "that", NOW, NOW)
    assert codes(domain(**SERVED, suspicion=suspicion)) == []


def test_text_certificate_that_expires_needs_the_customer() -> None:
    text = serving(left=30 * DAY, source=Source.TEXT)
    assert codes(domain(source=Source.TEXT, **text)) == [(Code.TEXT_EXPIRES, Owner.CUSTOMER)]


def test_same_code_of_status_and_warning_is_one_concern() -> None:
    known = domain(
        finding=finding(Code.CNAME_MISSING), caution=Caution(Code.CNAME_MISSING, "this", "that", NOW)
    )
    assert codes(known) == [(Code.CNAME_MISSING, Owner.CUSTOMER)]


def test_deleted_domain_needs_nobody() -> None:
    assert codes(domain(finding=finding(Code.CNAME_MISSING), deleted_at=NOW)) == []


def test_no_code_that_heals_is_worse_than_pending() -> None:
    assert {REASONS[code].status for code in HEALING} == {Status.PENDING, Status.SUCCESS}
    assert {code for code in HEALING if REASONS[code].status is Status.PENDING} == WAITING
