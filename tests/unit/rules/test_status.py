"""The status of a domain, its precedence and its reason."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sslctl.rules.model import Source
from sslctl.rules.reasons import FINDINGS, REASONS, Code, Status
from sslctl.rules.status import derive_status, describe_serving
from tests.unit.rules.builders import NOW, WEEK, certificate, domain, finding, serving


def test_served_domain_without_a_finding_is_success() -> None:
    verdict = derive_status(domain(**serving()), NOW)
    assert verdict.status is Status.SUCCESS
    assert verdict.code is None


@pytest.mark.parametrize("code", [code for code in FINDINGS if code is not Code.CERT_EXPIRED])
def test_every_code_has_a_status_an_owner_and_a_next_step(code: Code) -> None:
    verdict = derive_status(domain(finding=finding(code)), NOW)
    assert (verdict.status, verdict.code) == (REASONS[code].status, code)
    assert verdict.owner is not None
    assert verdict.sentence.endswith(".")
    assert verdict.next_step.endswith(".")


def test_status_becomes_expired_at_the_exact_second_of_expiry() -> None:
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
def test_discard_and_emergency_precede_expired_and_expired_precedes_the_rest(
    code: Code | None, status: Status
) -> None:
    held = domain(
        serving=certificate(1, left=-WEEK),
        wanted=certificate(2),
        finding=None if code is None else finding(code),
    )
    assert derive_status(held, NOW).status is status


def test_emergency_becomes_expired_when_the_undelivered_certificate_expires() -> None:
    pasted = certificate(1, left=-WEEK, source=Source.TEXT)
    held = domain(source=Source.TEXT, wanted=pasted, finding=finding(Code.C4_REJECTED))
    assert derive_status(held, NOW).status is Status.EXPIRED
    assert derive_status(held, NOW - 2 * WEEK).status is Status.EMERGENCY


def test_expired_domain_reports_why_its_renewal_fails_and_its_owner() -> None:
    verdict = derive_status(domain(**serving(left=-WEEK), finding=finding(Code.CNAME_ELSEWHERE)), NOW)
    assert verdict.code is Code.CERT_EXPIRED
    assert verdict.also is not None
    assert verdict.also.code is Code.CNAME_ELSEWHERE
    assert verdict.owner == "customer"
    assert "found this, wanted that" in verdict.sentence


def test_certificate_that_expired_before_delivery_is_expired() -> None:
    held = domain(wanted=certificate(left=-WEEK))
    assert derive_status(held, NOW).status is Status.EXPIRED


def test_failing_renewal_is_failure_and_still_describes_what_is_served() -> None:
    held = domain(**serving(left=timedelta(days=9, hours=1)), finding=finding(Code.CNAME_ELSEWHERE))
    assert derive_status(held, NOW).status is Status.FAILURE
    assert describe_serving(held, NOW) == "valid, 9 days left"
