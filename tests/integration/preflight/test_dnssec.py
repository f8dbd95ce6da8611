"""DNSSEC that does not validate is told apart from no answer, and resolvers that disagree are reported."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sslctl.rules.pass_result import Step
from sslctl.rules.reasons import Code
from tests.support.dns_zone import DnsZone, Trouble
from tests.support.preflight_cases import NAME, TARGET, check, preflight, refuse

DS = "12345 13 2 " + 32 * "ab"
VALIDATION_ERRORS = [5, 6, 7, 8, 9, 10, 11, 12, 25]
OTHER_ERRORS = [0, 13, 22, 23, 24]


@pytest.fixture
def signed(zone: DnsZone) -> DnsZone:
    """A signed zone whose name does not validate."""
    zone.add("example.com", "DS", DS).add(NAME, "A", "203.0.113.1")
    return zone.spoil(NAME, Trouble.BOGUS)


def test_check_reports_dnssec_bogus_when_the_resolver_answers_only_without_validation(
    signed: DnsZone,
) -> None:
    error = refuse(preflight(signed))
    assert (error.code, error.step) == (Code.DNSSEC_BOGUS, Step.DNS)
    address, port = signed.address
    assert error.found == f"A of {NAME}: DNSSEC validation fails at {address} port {port}"


@pytest.mark.parametrize("code", VALIDATION_ERRORS)
def test_check_reports_dnssec_bogus_when_the_extended_error_says_so(zone: DnsZone, code: int) -> None:
    zone.add(NAME, "A", "203.0.113.1").spoil(NAME, Trouble.BOGUS).explain(
        NAME, code, "signature \x1b[31m expired"
    )
    error = refuse(preflight(zone))
    assert error.code is Code.DNSSEC_BOGUS
    assert f"DNSSEC error {code} signature" in error.found
    assert error.found.isprintable()


@pytest.mark.parametrize("code", OTHER_ERRORS)
def test_check_reports_dns_unanswered_when_the_extended_error_says_something_else(
    signed: DnsZone, code: int
) -> None:
    assert refuse(preflight(signed.explain(NAME, code))).code is Code.DNS_UNANSWERED


def test_check_reports_dns_unanswered_when_the_zone_is_not_signed(zone: DnsZone) -> None:
    zone.add(NAME, "A", "203.0.113.1").spoil(NAME, Trouble.BOGUS)
    assert refuse(preflight(zone)).code is Code.DNS_UNANSWERED


def test_check_reports_dns_unanswered_when_a_signed_zone_does_not_answer_at_all(signed: DnsZone) -> None:
    assert refuse(preflight(signed.spoil(NAME, Trouble.SERVFAIL))).code is Code.DNS_UNANSWERED


def test_check_uses_the_answer_when_the_resolver_recovers_meanwhile(zone: DnsZone) -> None:
    zone.add("example.com", "DS", DS).add(NAME, "A", "203.0.113.1").spoil(NAME, Trouble.SERVFAIL_TWICE, "A")
    assert check(preflight(zone)) is None
    assert [kind for name, kind in zone.queries if name == NAME][:4] == ["A"] * 4


def test_check_warns_when_only_one_family_is_bogus(zone: DnsZone) -> None:
    zone.add("example.com", "DS", DS).add(NAME, "A", "203.0.113.1").spoil(NAME, Trouble.BOGUS, "AAAA")
    warning = check(preflight(zone))
    assert warning is not None
    assert warning.code is Code.ADDRESS_UNANSWERED
    assert "DNSSEC" in warning.found


def test_check_reports_dnssec_bogus_when_caa_does_not_validate(zone: DnsZone) -> None:
    zone.add("example.com", "DS", DS).add(NAME, "A", "203.0.113.1").spoil("example.com", Trouble.BOGUS, "CAA")
    error = refuse(preflight(zone))
    assert (error.code, error.step) == (Code.DNSSEC_BOGUS, Step.CAA)


def test_check_reports_target_unanswered_when_the_target_on_the_cdn_is_bogus(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", TARGET).add(TARGET, "A", "198.51.100.1").add("example.net", "DS", DS)
    zone.spoil(TARGET, Trouble.BOGUS)
    error = refuse(preflight(zone))
    assert error.code is Code.TARGET_UNANSWERED
    assert "DNSSEC" in error.found


def test_check_asks_a_server_without_edns_again_without_it(signed: DnsZone) -> None:
    assert refuse(preflight(signed.spoil(NAME, Trouble.BOGUS_WITHOUT_EDNS))).code is Code.DNSSEC_BOGUS


# Resolvers that disagree.


@pytest.fixture
def other() -> Iterator[DnsZone]:
    with DnsZone() as other:
        yield other


def test_check_reports_resolvers_disagree_when_another_one_finds_nothing_wrong(
    zone: DnsZone, other: DnsZone
) -> None:
    other.add(NAME, "CNAME", TARGET).add(TARGET, "A", "198.51.100.1")
    error = refuse(preflight(zone, other))
    address, port = other.address
    assert (error.code, error.step) == (Code.RESOLVERS_DISAGREE, Step.DNS)
    assert error.found == (
        f"NXDOMAIN for {NAME} (NXDOMAIN), but the resolver {address} port {port} finds nothing wrong"
    )


def test_check_reports_resolvers_disagree_about_caa(zone: DnsZone, other: DnsZone) -> None:
    for each in (zone, other):
        each.add(NAME, "A", "203.0.113.1")
    zone.add("example.com", "CAA", '0 issue "pki.example"')
    error = refuse(preflight(zone, other))
    assert (error.code, error.step) == (Code.RESOLVERS_DISAGREE, Step.CAA)


def test_check_keeps_the_first_finding_when_every_resolver_finds_something_wrong(
    zone: DnsZone, other: DnsZone
) -> None:
    other.add(NAME, "A", "198.51.100.1")
    assert refuse(preflight(zone, other)).code is Code.NXDOMAIN


@pytest.mark.parametrize("trouble", [Trouble.SERVFAIL, Trouble.SILENCE])
def test_check_keeps_the_first_finding_when_the_other_resolver_does_not_answer(
    zone: DnsZone, other: DnsZone, trouble: Trouble
) -> None:
    other.spoil(NAME, trouble)
    assert refuse(preflight(zone, other, seconds=0.6)).code is Code.NXDOMAIN


def test_check_does_not_ask_the_other_resolvers_when_the_first_finds_nothing_wrong(
    zone: DnsZone, other: DnsZone
) -> None:
    zone.add(NAME, "A", "203.0.113.1")
    assert check(preflight(zone, other)) is None
    assert other.queries == []
