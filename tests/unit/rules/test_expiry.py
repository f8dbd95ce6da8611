"""Which certificates expire without a successor, and who is named for it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sslctl.rules.expiry import find_expiring
from sslctl.rules.model import Caution
from sslctl.rules.reasons import REASONS, Code, Owner
from sslctl.rules.renewal import RenewalRule
from tests.unit.rules.builders import NOW, WEEK, domain, finding, serving

RULE = RenewalRule(WEEK)
WAITING = [Code.QUEUED, Code.BUDGET_HELD, Code.CA_VALIDATING, Code.C4_ACTIVATING]


@pytest.mark.parametrize("code", WAITING, ids=str)
def test_nobody_acts_on_what_only_waits(code: Code) -> None:
    assert REASONS[code].owner is Owner.NOBODY


@pytest.mark.parametrize("code", WAITING, ids=str)
def test_operator_is_named_if_a_certificate_expires_while_it_waits(code: Code) -> None:
    waiting = domain(**serving(left=timedelta(hours=20)), finding=finding(code))
    expiring = find_expiring(waiting, NOW, RULE)
    assert expiring is not None
    assert (expiring.code, expiring.owner) == (code, Owner.OPERATOR)


def test_warning_that_prevents_no_order_is_not_the_cause_of_an_expiry() -> None:
    caution = Caution(Code.ADDRESS_UNANSWERED, "AAAA of a.test: SERVFAIL", "", NOW)
    known = domain(**serving(left=timedelta(hours=20)), caution=caution)
    expiring = find_expiring(known, NOW, RULE)
    assert expiring is not None
    assert expiring.code is Code.QUEUED
