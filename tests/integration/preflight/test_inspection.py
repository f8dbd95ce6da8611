"""`Inspector`: every check of a name, also after one that found a problem, by the rules of `Preflight`."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from sslctl.config.settings import DnsSection
from sslctl.preflight import PreflightError
from sslctl.preflight.inspection import Inspected, Inspector
from sslctl.rules.check_steps import CheckStep, Hop, StepGrade, StepResult, find_first_problem
from sslctl.rules.reasons import Code
from tests.support.dns_zone import DnsZone, Trouble
from tests.support.preflight_cases import CDN, NAME, TARGET, check, preflight

DS = "12345 13 2 " + 32 * "ab"


def inspect(*zones: DnsZone, name: str = NAME, target: str = TARGET, seconds: float = 30) -> Inspected:
    dns = DnsSection(resolvers=tuple(zone.address for zone in zones), timeout_seconds=1)
    return Inspector(CDN, dns, ("letsencrypt.org",), find_account_url=str).inspect(
        name, target, http_expected=True, until=time.monotonic() + seconds
    )


def step(inspected: Inspected, wanted: CheckStep) -> StepResult:
    return next(each for each in inspected.steps if each.step is wanted)


def _good(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", TARGET).add(TARGET, "A", "203.0.113.5").add(TARGET, "AAAA", "2001:db8:c::5")


def _elsewhere(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", "parking.example.org").add("parking.example.org", "A", "198.51.100.1")


def _no_target(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", TARGET)


def _wrong_ipv6(zone: DnsZone) -> None:
    zone.add(NAME, "A", "203.0.113.5").add(NAME, "AAAA", "2001:db8::1")


def _caa(zone: DnsZone) -> None:
    _good(zone)
    zone.add("example.com", "CAA", '0 issue "other.example"')


def _caa_of_target(zone: DnsZone) -> None:
    _good(zone)
    zone.add(TARGET, "CAA", '0 issue ";"')


def _silent_caa(zone: DnsZone) -> None:
    _good(zone)
    zone.spoil("example.com", Trouble.SERVFAIL, "CAA")


def _bogus(zone: DnsZone) -> None:
    _good(zone)
    zone.add("example.com", "DS", DS).spoil(NAME, Trouble.BOGUS)


def _bogus_caa(zone: DnsZone) -> None:
    _good(zone)
    zone.add("example.com", "DS", DS).spoil("example.com", Trouble.BOGUS, "CAA")


def _silent(zone: DnsZone) -> None:
    zone.spoil(NAME, Trouble.SERVFAIL)


def _silent_target(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", TARGET).spoil(TARGET, Trouble.SERVFAIL)


def _loop(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", "a.example.com").add("a.example.com", "CNAME", NAME)


def _nothing(_: DnsZone) -> None:
    """Leave DNS without the name."""


CASES = [
    (_elsewhere, CheckStep.CNAME),
    (_no_target, CheckStep.ADDRESSES),
    (_wrong_ipv6, CheckStep.ADDRESSES),
    (_caa, CheckStep.CAA),
    (_caa_of_target, CheckStep.CAA),
    (_silent_caa, CheckStep.CAA),
    (_bogus, CheckStep.DNSSEC),
    (_bogus_caa, CheckStep.DNSSEC),
    (_silent, CheckStep.CNAME),
    (_silent_target, CheckStep.ADDRESSES),
    (_loop, CheckStep.CNAME),
    (_nothing, CheckStep.CNAME),
]


@pytest.mark.parametrize(("prepare", "where"), CASES)
def test_first_problem_is_the_one_that_an_order_meets(
    zone: DnsZone, prepare: Callable[[DnsZone], None], where: CheckStep
) -> None:
    prepare(zone)
    problem = find_first_problem(inspect(zone).steps)
    with pytest.raises(PreflightError) as caught:
        check(preflight(zone, seconds=1))
    error = caught.value
    assert problem is not None
    assert (problem.code, problem.found, problem.wanted, problem.records) == (
        error.code,
        error.found,
        error.wanted,
        error.records,
    )
    assert problem.step is where


def test_good_name_has_no_problem_and_shows_what_was_found(zone: DnsZone) -> None:
    _good(zone)
    zone.add("example.com", "CAA", '0 issue "letsencrypt.org"').add("example.com", "DS", DS)
    inspected = inspect(zone)
    assert find_first_problem(inspected.steps) is None
    assert step(inspected, CheckStep.CNAME).hops == (Hop(NAME, TARGET),)
    assert step(inspected, CheckStep.ADDRESSES).found == "A: 203.0.113.5; AAAA: 2001:db8:c::5"
    assert step(inspected, CheckStep.CAA).found == 'example.com CAA 0 issue "letsencrypt.org"'
    assert "DS at example.com" in step(inspected, CheckStep.DNSSEC).found


@pytest.mark.parametrize("name", [NAME, TARGET])
def test_one_silent_family_is_a_warning(zone: DnsZone, name: str) -> None:
    _good(zone)
    zone.spoil(name, Trouble.SERVFAIL, "AAAA")
    inspected = inspect(zone)
    assert find_first_problem(inspected.steps) is None
    found = step(inspected, CheckStep.ADDRESSES)
    expected = Code.ADDRESS_UNANSWERED if name == NAME else Code.TARGET_ADDRESS_UNANSWERED
    assert (found.grade, found.code) == (StepGrade.WARN, expected)


def test_target_that_no_suffix_covers_is_a_warning(zone: DnsZone) -> None:
    zone.add(NAME, "CNAME", "shop.new-cdn.example").add("shop.new-cdn.example", "A", "198.51.100.1")
    found = step(inspect(zone, target="shop.new-cdn.example"), CheckStep.CNAME)
    assert (found.grade, found.code) == (StepGrade.WARN, Code.SUFFIX_UNKNOWN)


def test_every_question_is_asked_once(zone: DnsZone) -> None:
    _elsewhere(zone)
    zone.queries.clear()
    inspect(zone)
    assert len(zone.queries) == len(set(zone.queries))


def test_resolver_that_sees_a_problem_alone_is_a_warning(zone: DnsZone) -> None:
    _good(zone)
    with DnsZone() as other:
        _elsewhere(other)
        inspected = inspect(zone, other)
    assert find_first_problem(inspected.steps) is None
    found = step(inspected, CheckStep.RESOLVERS)
    assert found.grade is StepGrade.WARN
    assert "CNAME_ELSEWHERE" in found.found


def test_resolvers_that_see_the_same_problem_agree(zone: DnsZone) -> None:
    _elsewhere(zone)
    with DnsZone() as other:
        _elsewhere(other)
        inspected = inspect(zone, other)
    assert step(inspected, CheckStep.RESOLVERS).grade is StepGrade.OK
    assert step(inspected, CheckStep.CNAME).grade is StepGrade.BAD


def test_no_lookup_begins_after_the_deadline(zone: DnsZone) -> None:
    _good(zone)
    problem = find_first_problem(inspect(zone, seconds=0).steps)
    assert problem is not None
    assert problem.code is Code.DNS_UNANSWERED
    assert zone.queries == []
