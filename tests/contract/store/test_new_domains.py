"""Which new domains a tick looks at: SQL and `onboarding.is_look_due` agree; and what a look records."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import product

from sslctl.rules.model import Domain, Finding, Installed, PassResult, Source, State
from sslctl.rules.onboarding import is_abandoned, is_look_due
from sslctl.rules.reasons import Code
from sslctl.store.interface import Store
from sslctl.store.interface.domains import Query
from tests.support.fakes import START, Clock
from tests.support.store_cases import finding, issue, kinds, serve

SECOND, MINUTE, HOUR, DAY = (timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours", "days"))
AGES = (
    -DAY,
    -SECOND,
    timedelta(0),
    59 * MINUTE,
    HOUR,
    HOUR + SECOND,
    3 * DAY,
    7 * DAY - SECOND,
    7 * DAY,
    40 * DAY,
)
LOOKS = (
    -DAY,
    -SECOND,
    timedelta(0),
    4 * MINUTE - SECOND,
    4 * MINUTE,
    55 * MINUTE - SECOND,
    55 * MINUTE,
    2 * DAY,
)
CODES = (Code.CNAME_MISSING, Code.NXDOMAIN, Code.CNAME_ELSEWHERE, Code.AAAA_ELSEWHERE, Code.QUEUED)


def add(store: Store, clock: Clock, name: str, age: timedelta, passed: timedelta, code: Code) -> Domain:
    """Add a domain `age` ago whose last pass was `passed` ago and ended with `code`."""
    clock.at = START - age
    domain = store.add_domain(name, (), Source.C4)
    clock.at = START
    return store.record_finding(domain, Finding(code, "this", "that", START - passed, START + DAY))


def test_sql_agrees_with_the_rule_about_which_looks_are_due(store: Store, clock: Clock) -> None:
    cases = list(product(AGES, LOOKS, (None, *LOOKS), CODES))
    for number, (age, passed, looked, code) in enumerate(cases):
        name = f"d{number:04}.test"
        with store.transaction():
            add(store, clock, name, age, passed, code)
            if looked is not None:
                store.confirm_dns_checks([name], START - looked)
    everything = list(store.domains(Query(), START))
    due = [domain for domain in everything if is_look_due(domain, START)]
    found = store.new_domains_to_look_at(START, len(cases))
    assert len(everything) == len(cases) > len(due) > 100
    assert {domain.name for domain in found} == {domain.name for domain in due}
    last = [max(each.finding.at, each.dns_checked_at or each.finding.at) for each in found if each.finding]
    assert last == sorted(last)
    assert store.new_domains_to_look_at(START, 7) == found[:7]


def test_domain_with_a_certificate_or_of_source_text_or_deleted_is_not_looked_at(
    store: Store, clock: Clock
) -> None:
    def new(name: str) -> Domain:
        return add(store, clock, name, 2 * HOUR, HOUR, Code.CNAME_MISSING)

    had = finding(Code.CNAME_MISSING)
    store.record_finding(serve(store, issue(store, new("served.test"))), had)
    store.record_finding(issue(store, new("issued.test")), had)
    store.delete_domain(new("deleted.test"))
    store.update_domain(new("text.test"), (), Source.TEXT)
    store.record_finding(store.domain("text.test"), had)
    store.record_observation(new("foreign.test"), Installed(Source.C4, "ab" * 32, START + DAY, State.ACTIVE))
    new("new.test")
    clock.move(hours=1)
    assert [each.name for each in store.new_domains_to_look_at(clock(), 100)] == ["new.test"]


def test_domain_that_was_deleted_and_added_again_is_new_again(store: Store, clock: Clock) -> None:
    store.delete_domain(add(store, clock, "a.test", 40 * DAY, HOUR, Code.NXDOMAIN))
    again = store.record_finding(
        store.add_domain("a.test", (), Source.C4), finding(Code.NXDOMAIN, at=clock())
    )
    assert again.created_at == clock()
    clock.move(minutes=5)
    assert [each.name for each in store.new_domains_to_look_at(clock(), 100)] == ["a.test"]


def test_look_writes_an_event_only_if_the_code_changed(store: Store, clock: Clock) -> None:
    domain = add(store, clock, "a.test", HOUR, HOUR, Code.CNAME_MISSING)
    before = kinds(store, domain)
    assert domain.finding is not None
    moved = replace(domain.finding, found="another address")
    looked = store.record_look(domain, PassResult(moved))
    assert (looked.finding, looked.dns_checked_at, looked.checked_at) == (moved, clock(), domain.checked_at)
    assert (kinds(store, looked), looked.revision) == (before, domain.revision + 1)
    other = replace(moved, code=Code.CNAME_ELSEWHERE)
    looked = store.record_look(looked, PassResult(other))
    assert (looked.finding, kinds(store, looked)) == (other, [*before, "found"])


def test_sql_agrees_with_the_rule_about_which_domains_are_abandoned(store: Store, clock: Clock) -> None:
    codes = (Code.CNAME_MISSING, Code.CAA_FORBIDS, Code.QUEUED, Code.C4_UNKNOWN_DOMAIN, Code.C4_REJECTED)
    ages = (-DAY, 30 * DAY - SECOND, 30 * DAY, 400 * DAY)
    for number, (age, code, source) in enumerate(product(ages, codes, Source)):
        domain = add(store, clock, f"d{number:02}.test", age, HOUR, code)
        if source is Source.TEXT:
            store.record_finding(store.update_domain(domain, (), source), finding(code))
    for name in ("old.test", "deleted.test", "foreign.test", "served.test"):
        add(store, clock, name, 31 * DAY, HOUR, Code.CNAME_MISSING)
    store.delete_domain(store.domain("deleted.test"))
    foreign = Installed(Source.C4, "ab" * 32, START + DAY, State.ACTIVE)
    store.record_observation(store.domain("foreign.test"), foreign)
    store.record_finding(serve(store, issue(store, store.domain("served.test"))), finding(Code.CNAME_MISSING))
    everything = list(store.listing(Query(), START).domains)
    expected = [each.name for each in everything if is_abandoned(each, START)]
    assert ("old.test" in expected, len(expected)) == (True, 5)
    assert [each.name for each in store.listing(Query(abandoned=True), START).domains] == expected
