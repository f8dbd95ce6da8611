"""A domain whose CNAME is the target that C4 names, outside of `cdn.cname_suffixes`: the configuration lacks a suffix."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sslctl.preflight import PreflightWarning
from sslctl.rules.reasons import Code
from tests.support.dns_zone import DnsZone, Trouble
from tests.support.preflight_cases import CDN, NAME, TARGET, check, preflight, refuse

NEW = "shop.cdn-two.example"


@pytest.fixture
def moved(zone: DnsZone) -> DnsZone:
    """A zone in which the name is a CNAME to a target under another suffix."""
    return zone.add(NAME, "CNAME", NEW).add(NEW, "A", "198.51.100.1")


@pytest.mark.parametrize("target", [NEW, NEW.upper(), f"{NEW}."])
def test_check_warns_of_an_unknown_suffix_when_the_cname_is_the_target_of_c4(
    moved: DnsZone, target: str
) -> None:
    warning = check(preflight(moved), target=target)
    assert warning == PreflightWarning(Code.SUFFIX_UNKNOWN, f"{NAME} → {NEW}")


def test_check_warns_of_an_unknown_suffix_when_the_target_has_only_aaaa(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", NEW).add(NEW, "AAAA", "2001:db8:d::1")
    warning = check(preflight(zone), target=NEW)
    assert warning is not None
    assert warning.code is Code.SUFFIX_UNKNOWN


def test_check_warns_of_an_unknown_suffix_at_the_end_of_a_chain(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", "www.example.com").add("www.example.com", "CNAME", NEW)
    zone.add(NEW, "A", "198.51.100.1")
    warning = check(preflight(zone), target=NEW)
    assert warning is not None
    assert warning.code is Code.SUFFIX_UNKNOWN


def test_check_accepts_an_unknown_suffix_in_silence_when_the_addresses_are_of_the_cdn(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", NEW).add(NEW, "A", "203.0.113.7")
    assert check(preflight(zone), target=NEW) is None


@pytest.mark.parametrize("target", ["", TARGET, "other.cdn-two.example", "cdn-two.example", f"x.{NEW}"])
def test_check_blames_the_customer_when_the_cname_is_not_the_target_of_c4(
    moved: DnsZone, target: str
) -> None:
    assert refuse(preflight(moved), target=target).code is Code.CNAME_ELSEWHERE


def test_check_names_the_target_of_c4_as_wanted_when_no_suffix_covers_it(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", "other.example").add("other.example", "A", "198.51.100.1")
    assert refuse(preflight(zone), target=NEW).wanted == NEW


def test_check_blames_the_cdn_for_a_target_under_an_unknown_suffix(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", NEW)
    assert refuse(preflight(zone), target=NEW).code is Code.TARGET_MISSING
    zone.add(NEW, "A", "198.51.100.1").add(NEW, "CAA", '0 issue "other.test"')
    assert refuse(preflight(zone), target=NEW).code is Code.TARGET_CAA_FORBIDS
    zone.spoil(NEW, Trouble.SERVFAIL)
    assert refuse(preflight(zone), target=NEW).code is Code.TARGET_UNANSWERED


def test_check_ignores_a_target_of_c4_that_is_the_name_itself(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", "b.example.com").add("b.example.com", "CNAME", NAME)
    assert refuse(preflight(zone), target=NAME).code is Code.CNAME_ELSEWHERE


def test_check_of_several_names_warns_of_each_kind_once(moved: DnsZone) -> None:
    moved.add("www.example.com", "CNAME", NEW)
    cdn = replace(CDN, cname_suffixes=("cdn-two.example",))
    assert check(preflight(moved, cdn=cdn), NAME, "www.example.com", target=NEW) is None
