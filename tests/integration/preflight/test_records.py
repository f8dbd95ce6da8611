"""The DNS records that cure a problem, from preflight against a real DNS server on loopback."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sslctl.rules.dns_record import DnsRecord
from sslctl.rules.reasons import Code
from tests.support.dns_zone import DnsZone, Trouble
from tests.support.preflight_cases import NAME, TARGET, preflight, refuse

APEX, WWW = "example.com", "www.example.com"
TO_CDN = DnsRecord("CNAME", NAME, (), (TARGET,))
DS = "12345 13 2 " + 32 * "AB"


def records(zone: DnsZone, *names: str, target: str = TARGET) -> tuple[DnsRecord, ...]:
    return refuse(preflight(zone), *names, target=target).records


def test_missing_name_needs_a_cname_to_the_target(zone: DnsZone) -> None:
    assert records(zone) == (TO_CDN,)
    assert records(zone, target="") == (replace(TO_CDN, wanted=None),)


def test_cname_that_leads_elsewhere_is_replaced(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", "Other.example").add("other.example", "CNAME", "far.example")
    assert records(zone.add("far.example", "A", "192.0.2.1")) == (
        replace(TO_CDN, current=("other.example",)),
    )


def test_mistyped_target_is_replaced(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", "shpo.cdn.example.net")
    assert records(zone) == (replace(TO_CDN, current=("shpo.cdn.example.net",)),)


def test_addresses_at_the_name_are_removed_for_the_cname(zone: DnsZone) -> None:
    zone.add(NAME, "A", "192.0.2.2", "192.0.2.1").add(NAME, "AAAA", "2001:db8:bad::1")
    ipv4 = DnsRecord("A", NAME, ("192.0.2.1", "192.0.2.2"), ())
    assert records(zone) == (ipv4, DnsRecord("AAAA", NAME, ("2001:db8:bad::1",), ()), TO_CDN)


def test_family_without_an_answer_is_left_out(zone: DnsZone) -> None:
    zone.add(NAME, "A", "192.0.2.1").spoil(NAME, Trouble.SERVFAIL, "AAAA").spoil(NAME, Trouble.REFUSED, "SOA")
    assert records(zone) == (DnsRecord("A", NAME, ("192.0.2.1",), ()), TO_CDN)


def test_apex_gets_the_addresses_that_the_target_has_in_the_ranges_of_the_cdn(zone: DnsZone) -> None:
    zone.add(APEX, "A", "192.0.2.1").add(TARGET, "A", "203.0.113.2", "198.51.100.1", "203.0.113.1")
    zone.add(TARGET, "AAAA", "2001:db8:c::1")
    wanted = ("203.0.113.1", "203.0.113.2")
    assert records(zone, APEX) == (
        DnsRecord("A", APEX, ("192.0.2.1",), wanted),
        DnsRecord("AAAA", APEX, (), ("2001:db8:c::1",)),
    )


def test_apex_needs_unknown_addresses_if_the_target_has_none_of_the_cdn(zone: DnsZone) -> None:
    zone.add(APEX, "A", "192.0.2.1").add(TARGET, "A", "198.51.100.1")
    assert records(zone, APEX) == (DnsRecord("A", APEX, ("192.0.2.1",), None),)
    zone.add(APEX, "AAAA", "2001:db8:bad::1")
    assert records(zone, APEX)[1:] == (DnsRecord("AAAA", APEX, ("2001:db8:bad::1",), ()),)


def test_apex_of_a_delegated_zone_is_one_too(zone: DnsZone) -> None:
    zone.add(NAME, "A", "192.0.2.1").add(NAME, "SOA", "ns. hostmaster. 1 60 60 60 60")
    zone.add(TARGET, "A", "203.0.113.1")
    assert records(zone) == (DnsRecord("A", NAME, ("192.0.2.1",), ("203.0.113.1",)),)


def test_following_the_records_of_an_apex_passes_the_check(zone: DnsZone) -> None:
    zone.add(APEX, "A", "192.0.2.1").add(TARGET, "A", "203.0.113.1")
    for record in records(zone, APEX):
        zone.add(record.name, record.type, *(record.wanted or ()))
    assert preflight(zone).check((APEX,), TARGET, http_expected=True) is None


def test_ipv6_address_is_removed_or_replaced_by_the_one_of_the_target(zone: DnsZone) -> None:
    zone.add(APEX, "A", "203.0.113.1").add(APEX, "AAAA", "2001:db8:bad::1").add(WWW, "CNAME", APEX)
    removal = DnsRecord("AAAA", APEX, ("2001:db8:bad::1",), ())
    assert records(zone, APEX) == records(zone, WWW) == (removal,)
    zone.add(TARGET, "AAAA", "2001:db8:c::1")
    assert records(zone, APEX) == (replace(removal, wanted=("2001:db8:c::1",)),)


def test_target_without_an_address_needs_one_that_is_not_known(zone: DnsZone) -> None:
    error = refuse(preflight(zone.add(NAME, "CNAME", TARGET)))
    assert error.code is Code.TARGET_MISSING
    assert error.records == (DnsRecord("A", TARGET, (), None),)


def test_caa_is_extended_by_the_ca_at_the_name_whose_records_decided(zone: DnsZone) -> None:
    zone.add(NAME, "A", "203.0.113.1").add(APEX, "CAA", '0 issue "pki.example"', '0 iodef "mailto:a@b.test"')
    current = ('0 iodef "mailto:a@b.test"', '0 issue "pki.example"')
    wanted = ('0 iodef "mailto:a@b.test"', '0 issue "letsencrypt.org"', '0 issue "pki.example"')
    assert records(zone) == (DnsRecord("CAA", APEX, current, wanted),)


def test_caa_of_the_target_is_to_be_set_there(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", TARGET).add(TARGET, "A", "203.0.113.1").add(TARGET, "CAA", '0 issue ";"')
    error = refuse(preflight(zone))
    assert error.code is Code.TARGET_CAA_FORBIDS
    assert error.records == (DnsRecord("CAA", TARGET, ('0 issue ";"',), ('0 issue "letsencrypt.org"',)),)


def test_ds_record_of_a_bogus_zone_is_to_be_removed(zone: DnsZone) -> None:
    zone.add(APEX, "DS", DS).add(NAME, "A", "203.0.113.1").spoil(NAME, Trouble.BOGUS)
    removal = DnsRecord("DS", APEX, (f"12345 13 2 {32 * 'ab'}",), ())
    assert records(zone) == (removal,)
    assert records(zone.explain(NAME, 7)) == (removal,)


def test_ds_record_is_not_known_if_a_bogus_name_leads_to_another_zone(zone: DnsZone) -> None:
    zone.add(APEX, "DS", DS).add(NAME, "CNAME", "far.example").add("far.example", "A", "192.0.2.1")
    error = refuse(preflight(zone.spoil(NAME, Trouble.BOGUS)))
    assert (error.code, error.records) == (Code.DNSSEC_BOGUS, ())


def test_each_name_with_the_same_problem_has_its_record(zone: DnsZone) -> None:
    zone.add("good.example.com", "CNAME", TARGET).add(TARGET, "A", "198.51.100.1")
    zone.add("bad.example.com", "CNAME", "other.example")
    error = refuse(preflight(zone), NAME, "good.example.com", "bad.example.com", WWW)
    assert (error.code, error.found) == (Code.NXDOMAIN, f"NXDOMAIN for {NAME}")
    assert error.records == (TO_CDN, replace(TO_CDN, name=WWW))


def test_one_caa_record_of_several_names_is_reported_once(zone: DnsZone) -> None:
    zone.add(NAME, "A", "203.0.113.1").add(WWW, "A", "203.0.113.1").add(APEX, "CAA", '0 issue ";"')
    assert len(records(zone, NAME, WWW)) == 1


def test_names_after_one_without_an_answer_are_not_asked_for(zone: DnsZone) -> None:
    zone.spoil(WWW, Trouble.REFUSED)
    assert records(zone, NAME, WWW, "b.example.com") == (TO_CDN,)
    assert "b.example.com" not in {name for name, _ in zone.queries}


def test_at_most_twenty_further_names_are_asked_for(zone: DnsZone) -> None:
    assert len(records(zone, *(f"n{number}.example.com" for number in range(60)))) == 21


def test_disagreement_of_resolvers_has_no_records(zone: DnsZone) -> None:
    with DnsZone() as other:
        error = refuse(preflight(zone, other.add(NAME, "A", "203.0.113.1")))
    assert (error.code, error.records) == (Code.RESOLVERS_DISAGREE, ())


@pytest.mark.parametrize("trouble", [Trouble.SERVFAIL, Trouble.REFUSED])
def test_closed_ports_and_silent_resolvers_have_no_records(zone: DnsZone, trouble: Trouble) -> None:
    assert records(zone.add(NAME, "A", "203.0.113.1").spoil(NAME, trouble)) == ()


def test_records_are_limited_and_printable_ascii(zone: DnsZone) -> None:
    zone.add(NAME, "A", *(f"192.0.2.{number}" for number in range(50)))
    assert len(records(zone)[0].current) == 20
    zone.add("example.com", "CAA", *(f'0 issue "ca{number}.test"' for number in range(30)))
    zone.add("b.example.com", "A", "203.0.113.1")
    (record,) = records(zone, "b.example.com")
    assert (len(record.current), record.wanted) == (20, None)
    hostile = r"\027[31m\226\128\174.example"
    zone.add(WWW, "CNAME", hostile)
    (record,) = records(zone, WWW)
    assert all(text.isascii() and text.isprintable() for text in record.current)
