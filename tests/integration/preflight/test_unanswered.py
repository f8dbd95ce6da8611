"""Lookups without a usable answer: one family is a warning, both name whose fault it is. A real DNS server answers.

The rule is the CA's: it fails a name only if it has an address in neither family (Boulder, `va/dns.go`, `getAddrs`).
"""

from __future__ import annotations

import pytest

from sslctl.preflight import PreflightWarning
from sslctl.rules.pass_result import Step
from sslctl.rules.reasons import Code
from tests.support.dns_zone import DnsZone, Trouble
from tests.support.preflight_cases import NAME, TARGET, check, preflight, refuse

QUICK = [
    Trouble.SERVFAIL,
    Trouble.REFUSED,
    Trouble.NOTIMP,
    Trouble.FORMERR,
    Trouble.NOTAUTH,
    Trouble.GARBAGE,
    Trouble.REFERRAL,
    Trouble.OTHER_NAME,
]
SILENT = [Trouble.SILENCE, Trouble.TRUNCATED]
# An A record is no answer to AAAA, so dnspython takes it for "no such record".
NO_ANSWER = [(kind, each) for kind in ("A", "AAAA") for each in QUICK if (kind, each) != ("AAAA", Trouble.OTHER_NAME)]  # fmt: skip


def point(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", TARGET).add(TARGET, "A", "198.51.100.1").add(TARGET, "AAAA", "2001:db8:f::1")


def code_of(warning: PreflightWarning | None) -> Code | None:
    return None if warning is None else warning.code


# One family.


@pytest.mark.parametrize(("kind", "trouble"), NO_ANSWER)
def test_check_warns_when_the_name_has_an_answer_in_one_family_only(
    zone: DnsZone, trouble: Trouble, kind: str
) -> None:
    zone.add("example.com", "A", "203.0.113.1").add("example.com", "AAAA", "2001:db8:c::1")
    zone.spoil("example.com", trouble, kind)
    warning = check(preflight(zone, seconds=1), "example.com")
    assert code_of(warning) is Code.ADDRESS_UNANSWERED
    assert warning is not None
    assert warning.found.startswith(f"{kind} of example.com: ")


@pytest.mark.parametrize("trouble", SILENT)
@pytest.mark.parametrize("kind", ["A", "AAAA"])
def test_check_warns_when_one_family_is_silent(zone: DnsZone, trouble: Trouble, kind: str) -> None:
    zone.add("example.com", "A", "203.0.113.1").add("example.com", "AAAA", "2001:db8:c::1")
    zone.spoil("example.com", trouble, kind)
    warning = check(preflight(zone, seconds=0.4), "example.com")
    assert code_of(warning) is Code.ADDRESS_UNANSWERED


@pytest.mark.parametrize("kind", ["A", "AAAA"])
def test_check_warns_about_the_cdn_when_its_target_has_no_answer_in_one_family(
    zone: DnsZone, kind: str
) -> None:
    point(zone)
    zone.spoil(TARGET, Trouble.SERVFAIL, kind)
    warning = check(preflight(zone))
    assert code_of(warning) is Code.TARGET_ADDRESS_UNANSWERED


@pytest.mark.parametrize("kind", ["A", "AAAA"])
def test_check_warns_about_the_customer_when_only_the_name_has_no_answer_in_one_family(
    zone: DnsZone, kind: str
) -> None:
    point(zone)
    zone.spoil(NAME, Trouble.SERVFAIL, kind)
    assert code_of(check(preflight(zone))) is Code.ADDRESS_UNANSWERED


def test_check_warns_for_the_last_of_several_names(zone: DnsZone) -> None:
    point(zone)
    zone.add("example.com", "A", "203.0.113.1").spoil("example.com", Trouble.REFUSED, "AAAA")
    assert code_of(check(preflight(zone), NAME, "example.com")) is Code.ADDRESS_UNANSWERED


def test_check_has_no_warning_when_both_families_answer(zone: DnsZone) -> None:
    point(zone)
    assert check(preflight(zone)) is None
    zone.add("example.com", "A", "203.0.113.1").spoil("example.com", Trouble.NO_SOA, "AAAA")
    assert check(preflight(zone), "example.com") is None


def test_check_reports_caa_forbids_although_one_family_has_no_answer(zone: DnsZone) -> None:
    zone.add(NAME, "A", "203.0.113.1").spoil(NAME, Trouble.SERVFAIL, "AAAA").add(NAME, "CAA", '0 issue ";"')
    assert refuse(preflight(zone)).code is Code.CAA_FORBIDS


@pytest.mark.parametrize(
    ("kind", "address", "other"), [("A", "198.51.100.1", "AAAA"), ("AAAA", "2001:db8:bad::1", "A")]
)
def test_check_reports_cname_missing_when_the_family_that_answers_points_elsewhere(
    zone: DnsZone, kind: str, address: str, other: str
) -> None:
    zone.add(NAME, kind, address).spoil(NAME, Trouble.SERVFAIL, other)
    assert refuse(preflight(zone)).code is Code.CNAME_MISSING


def test_check_reports_cname_elsewhere_when_the_family_that_answers_has_another_cname(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", "other.example").add("other.example", "AAAA", "2001:db8:bad::1")
    zone.spoil(NAME, Trouble.SERVFAIL, "A")
    assert refuse(preflight(zone)).code is Code.CNAME_ELSEWHERE


# No family has an address.


@pytest.mark.parametrize("kind", ["A", "AAAA"])
def test_check_reports_dns_unanswered_when_the_family_that_answers_has_no_address(
    zone: DnsZone, kind: str
) -> None:
    zone.add(NAME, "TXT", "x").spoil(NAME, Trouble.SERVFAIL, kind)
    error = refuse(preflight(zone))
    assert error.code is Code.DNS_UNANSWERED
    assert error.found.startswith(f"{kind} of {NAME}: ")


@pytest.mark.parametrize("trouble", [Trouble.SERVFAIL, Trouble.REFUSED, Trouble.REFERRAL])
def test_check_reports_target_unanswered_when_the_target_on_the_cdn_has_no_answer(
    zone: DnsZone, trouble: Trouble
) -> None:
    zone.add(NAME, "CNAME", TARGET).spoil(TARGET, trouble)
    error = refuse(preflight(zone))
    assert error.code is Code.TARGET_UNANSWERED
    assert error.found.startswith(f"A of {NAME}: ")


def test_check_reports_target_unanswered_when_the_target_has_no_address_in_the_family_that_answers(
    zone: DnsZone,
) -> None:
    zone.add(NAME, "CNAME", TARGET).add(TARGET, "TXT", "x").spoil(TARGET, Trouble.SERVFAIL, "AAAA")
    assert refuse(preflight(zone)).code is Code.TARGET_UNANSWERED


def test_check_reports_target_unanswered_behind_a_chain_of_cnames(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", "www.example.com").add("www.example.com", "CNAME", TARGET)
    zone.spoil(TARGET, Trouble.SERVFAIL)
    assert refuse(preflight(zone)).code is Code.TARGET_UNANSWERED


@pytest.mark.parametrize("trouble", [Trouble.SERVFAIL, Trouble.REFUSED, Trouble.GARBAGE])
def test_check_reports_dns_unanswered_when_the_name_itself_has_no_answer(
    zone: DnsZone, trouble: Trouble
) -> None:
    point(zone)
    zone.spoil(NAME, trouble)
    assert refuse(preflight(zone, seconds=1)).code is Code.DNS_UNANSWERED


def test_check_reports_dns_unanswered_when_the_name_answers_for_its_cname_only(zone: DnsZone) -> None:
    point(zone)
    zone.spoil(NAME, Trouble.SERVFAIL, "A").spoil(NAME, Trouble.SERVFAIL, "AAAA")
    assert refuse(preflight(zone)).code is Code.DNS_UNANSWERED


def test_check_reports_dns_unanswered_when_the_cname_leads_elsewhere_to_no_answer(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", "other.example").spoil("other.example", Trouble.SERVFAIL)
    assert refuse(preflight(zone)).code is Code.DNS_UNANSWERED


def test_check_reports_dns_unanswered_at_caa_when_a_caa_lookup_ends_in_a_loop(zone: DnsZone) -> None:
    zone.add(NAME, "A", "203.0.113.1").add("example.com", "CNAME", "b.example").add(
        "b.example", "CNAME", "example.com"
    )
    error = refuse(preflight(zone))
    assert (error.code, error.step) == (Code.DNS_UNANSWERED, Step.CAA)


# Answers of an unusual form.


def test_check_follows_a_dname(zone: DnsZone) -> None:
    zone.add("example.com", "DNAME", "cdn.example.net.").add(TARGET, "A", "198.51.100.1")
    assert check(preflight(zone)) is None


def test_check_reports_cname_missing_for_nodata_without_soa(zone: DnsZone) -> None:
    zone.spoil(NAME, Trouble.NO_SOA)
    assert refuse(preflight(zone)).code is Code.CNAME_MISSING


def test_check_accepts_a_chain_whose_last_name_has_no_ipv6_address(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", TARGET).add(TARGET, "CNAME", "pop.example").add(
        "pop.example", "A", "198.51.100.1"
    )
    assert check(preflight(zone)) is None


def test_check_accepts_a_cname_in_mixed_case(zone: DnsZone) -> None:
    zone.add("Shop.EXAMPLE.com", "CNAME", "SHOP.cdn.Example.NET").add(TARGET, "A", "198.51.100.1")
    assert check(preflight(zone)) is None


def test_check_reports_dns_unanswered_when_the_answer_is_about_another_name(zone: DnsZone) -> None:
    zone.spoil(NAME, Trouble.OTHER_NAME, "A")
    error = refuse(preflight(zone))
    assert (error.code, error.found) == (
        Code.DNS_UNANSWERED,
        f"A of {NAME}: the response is about another name",
    )


def test_check_reports_dns_unanswered_when_a_long_caa_response_cannot_be_had_over_tcp(zone: DnsZone) -> None:
    zone.add(NAME, "A", "203.0.113.1").spoil(NAME, Trouble.TRUNCATED, "CAA")
    error = refuse(preflight(zone, seconds=0.6))
    assert (error.code, error.step) == (Code.DNS_UNANSWERED, Step.CAA)


# CAA records that dnspython rejects.

ODD = b"\x00\x03x-yz"
CRITICAL_ODD = b"\x80\x03x-yz"
ISSUE = b"\x00\x05issueletsencrypt.org"


def test_check_reads_a_caa_tag_that_is_not_alphanumeric(zone: DnsZone) -> None:
    zone.add(NAME, "A", "203.0.113.1").add_raw(NAME, "CAA", ODD, ISSUE)
    assert check(preflight(zone)) is None
    zone.add_raw(NAME, "CAA", CRITICAL_ODD, ISSUE)
    error = refuse(preflight(zone))
    assert error.code is Code.CAA_FORBIDS
    assert error.found == (
        f'{NAME} CAA 0 issue "letsencrypt.org", 128 x-y "z" (the CA does not know this critical tag)'
    )
    assert error.wanted == "no critical x-y"


def test_check_reads_a_long_response_with_such_a_caa_tag_over_tcp(zone: DnsZone) -> None:
    many = [b"\x00\x05issueca%d.example" % number for number in range(60)]
    zone.add(NAME, "A", "203.0.113.1").add_raw(NAME, "CAA", ODD, ISSUE, *many)
    assert check(preflight(zone)) is None
    zone.add_raw(NAME, "CAA", CRITICAL_ODD, ISSUE, *many)
    assert refuse(preflight(zone)).code is Code.CAA_FORBIDS


def test_check_reports_dns_unanswered_when_the_data_of_a_caa_record_is_cut_off(zone: DnsZone) -> None:
    zone.add(NAME, "A", "203.0.113.1").add_raw(NAME, "CAA", b"\x00\x09issue")
    error = refuse(preflight(zone))
    assert (error.code, error.step) == (Code.DNS_UNANSWERED, Step.CAA)


def test_check_compares_accounturi_with_our_account(zone: DnsZone) -> None:
    zone.add(NAME, "A", "203.0.113.1")
    zone.add(NAME, "CAA", '0 issue "letsencrypt.org; accounturi=https://ca.example/acct/1"')
    assert check(preflight(zone, find_account_url=lambda: "https://ca.example/acct/1")) is None
    assert check(preflight(zone, find_account_url=lambda: "")) is None
    error = refuse(preflight(zone, find_account_url=lambda: "https://ca.example/acct/2"))
    assert error.code is Code.CAA_FORBIDS
    assert error.wanted == 'issue "letsencrypt.org; accounturi=https://ca.example/acct/2"'
