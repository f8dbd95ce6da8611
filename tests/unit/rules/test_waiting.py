"""For which domains a wait helps, and until when."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sslctl.rules.model import Source, Unconfirmed
from sslctl.rules.reasons import FINDINGS, REASONS, Code, Owner, Status
from sslctl.rules.waiting import ENDS_BY_ITSELF, next_pass_at
from tests.unit.rules.builders import NOW, domain, finding, serving

SOON = timedelta(minutes=10)


@pytest.mark.parametrize("code", FINDINGS)
def test_next_pass_is_awaited_for_what_ends_by_itself_only(code: Code) -> None:
    found = domain(finding=finding(code, retry=SOON))
    assert next_pass_at(found, NOW) == (NOW + SOON if code in ENDS_BY_ITSELF else None)


def test_nothing_that_a_person_must_cure_ends_by_itself() -> None:
    reasons = [REASONS[code] for code in ENDS_BY_ITSELF]
    assert {reason.status for reason in reasons} == {Status.PENDING, Status.EMERGENCY}
    # Both are about a change that is complete after a while.
    of_operator = {code for code in ENDS_BY_ITSELF if REASONS[code].owner is Owner.OPERATOR}
    assert of_operator == {Code.RESOLVERS_DISAGREE, Code.C4_CHANGED}
    alone = {code for code in FINDINGS if REASONS[code].owner in (Owner.NOBODY, Owner.CA)}
    assert alone - ENDS_BY_ITSELF == {Code.NAME_REFUSED}


def test_next_pass_is_none_for_a_domain_in_success() -> None:
    assert next_pass_at(domain(**serving()), NOW) is None


def test_next_pass_of_a_new_domain_is_due_at_once() -> None:
    assert next_pass_at(domain(), NOW) == NOW


@pytest.mark.parametrize(
    ("code", "expected"), [(Code.C4_UNANSWERED, NOW + SOON), (Code.C4_TOKEN_REFUSED, None)]
)
def test_next_pass_follows_the_step_that_did_not_answer(code: Code, expected: object) -> None:
    unconfirmed = Unconfirmed(code, "timeout", NOW, NOW + SOON)
    for state in (serving(), {"finding": finding(Code.CNAME_MISSING, retry=SOON * 2)}):
        assert next_pass_at(domain(**state, unconfirmed=unconfirmed), NOW) == expected


def test_next_pass_of_an_expired_domain_follows_what_prevents_its_renewal() -> None:
    expired = serving(left=-SOON)
    for code, expected in ((Code.CA_UNAVAILABLE, NOW + SOON), (Code.CAA_FORBIDS, None)):
        assert next_pass_at(domain(**expired, finding=finding(code, retry=SOON)), NOW) == expected
    assert next_pass_at(domain(**serving(left=-SOON, source=Source.TEXT), source=Source.TEXT), NOW) is None


def test_next_pass_is_due_at_once_if_the_clock_was_ahead_when_the_retry_was_recorded() -> None:
    found = domain(finding=finding(Code.CA_UNAVAILABLE, retry=timedelta(days=30)))
    assert next_pass_at(found, NOW) == NOW
