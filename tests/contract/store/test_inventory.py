"""The queries for the comparison with a control plane's inventory."""

from __future__ import annotations

from dataclasses import replace

from sslctl.rules.model import Domain, Installed, Source, State, Suspicion
from sslctl.rules.reasons import Code
from sslctl.store.interface import Store
from sslctl.store.interface.inventory import ManagedDomain, Seen, Unmanaged
from tests.support.fakes import START, Clock
from tests.support.store_cases import NAME, bundle, finding, held, issue, leaf, serve

OTHER = "b.example.com"
FINGERPRINT = "ef" * 32


def test_known_domains_have_the_fingerprints_of_all_their_versions(store: Store, domain: Domain) -> None:
    first = issue(store, domain)
    second = issue(store, first)
    known = store.known_domains([NAME, "never.example.com"])
    assert list(known) == [NAME]
    assert known[NAME].is_managed
    assert known[NAME].fingerprints == {held(first).leaf.fingerprint, held(second).leaf.fingerprint}


def test_deleted_domain_is_known_and_not_managed(store: Store, domain: Domain) -> None:
    store.delete_domain(domain)
    assert not store.known_domains([NAME])[NAME].is_managed
    assert store.managed_domains(0, 10) == []


def test_fingerprint_of_an_adopted_certificate_is_known_and_of_a_foreign_one_is_not(
    store: Store, domain: Domain, clock: Clock
) -> None:
    installed = Installed(Source.TEXT, FINGERPRINT, clock(), State.ACTIVE)
    seen = store.record_observation(domain, installed)
    assert store.known_domains([NAME])[NAME].fingerprints == set()
    store.adopt_certificate(seen, installed)
    assert store.known_domains([NAME])[NAME].fingerprints == {FINGERPRINT}


def test_known_fingerprints_are_those_of_any_domain_deleted_ones_too(store: Store) -> None:
    facts = leaf(names=(NAME,))
    store.delete_domain(store.add_text_certificate(NAME, (), bundle(), facts))
    assert store.known_fingerprints({facts.fingerprint, FINGERPRINT}) == {facts.fingerprint}


def test_managed_domains_come_in_parts_by_number(store: Store, domain: Domain) -> None:
    store.add_domains([OTHER, "c.example.com"])
    store.record_finding(domain, finding(Code.C4_UNKNOWN_DOMAIN))
    number = store.known_domains([NAME])[NAME].number
    first = store.managed_domains(0, 1)
    assert first == [ManagedDomain(NAME, number, is_unknown=True)]
    assert [each.name for each in store.managed_domains(number, 10)] == [OTHER, "c.example.com"]
    assert not store.managed_domains(number, 1)[0].is_unknown


def test_managed_domains_have_the_time_of_the_last_look(store: Store, domain: Domain, clock: Clock) -> None:
    store.add_domains([OTHER])
    number = store.known_domains([NAME])[NAME].number
    store.confirm_seen([number], clock())
    assert [each.observed_at for each in store.managed_domains(0, 10)] == [clock(), None]
    assert store.domain(NAME) == replace(domain, observed_at=clock())


def test_certificate_that_c4_was_last_seen_to_have_is_ours_or_foreign(
    store: Store, domain: Domain, clock: Clock
) -> None:
    store.add_domains([OTHER, "c.example.com"])
    served = serve(store, issue(store, domain))
    ours = held(served).leaf.fingerprint
    number = store.known_domains([NAME])[NAME].number
    assert store.seen([NAME, "never.example.com"]) == [
        Seen(NAME, number, ours, is_unknown=False, is_suspected=False)
    ]
    store.record_observation(served, Installed(Source.TEXT, FINGERPRINT, clock(), State.ACTIVE))
    store.record_finding(store.domain(OTHER), finding(Code.C4_UNKNOWN_DOMAIN))
    store.delete_domain(store.domain("c.example.com"))
    seen = {each.name: each for each in store.seen([NAME, OTHER, "c.example.com"])}
    assert {name: (each.fingerprint, each.is_unknown) for name, each in seen.items()} == {
        NAME: (FINGERPRINT, False),
        OTHER: (None, True),
    }


def test_suspected_domain_is_seen_as_such(store: Store, domain: Domain) -> None:
    served = serve(store, issue(store, domain))
    suspicion = Suspicion(Code.C4_LOST, "", "", START, START)
    store.record_result(served, replace(served.result, suspicion=suspicion))
    assert [each.is_suspected for each in store.seen([NAME])] == [True]


def test_unmanaged_domains_are_counted_and_the_newest_named(store: Store, clock: Clock) -> None:
    assert store.unmanaged() is None
    store.record_unmanaged(["old.example.com"], clock())
    clock.move(days=1)
    store.record_unmanaged([f"n{number}.example.com" for number in range(7)], clock())
    store.record_unmanaged(["old.example.com"], clock())
    found = store.unmanaged()
    assert found == Unmanaged(8, clock(), 7, tuple(f"n{number}.example.com" for number in range(5)))


def test_domain_that_is_managed_by_now_is_not_new(store: Store, clock: Clock) -> None:
    store.record_unmanaged([NAME, OTHER], clock())
    store.add_domains([NAME])
    assert store.unmanaged() == Unmanaged(2, clock(), 1, (OTHER,))


def test_missed_domain_is_neither_counted_nor_new_until_it_is_seen_again(store: Store, clock: Clock) -> None:
    store.record_unmanaged([NAME, OTHER], clock())
    number = store.unmanaged_named([NAME, "never.example.com"])[NAME]
    store.set_unmanaged_missed([number], is_missed=True)
    assert dict(store.unmanaged_numbers(0, 10))[number]
    assert store.unmanaged() == Unmanaged(1, clock(), 1, (OTHER,))
    store.set_unmanaged_missed([number], is_missed=False)
    found = store.unmanaged()
    assert found is not None
    assert found.number == 2


def test_forgotten_domain_is_not_recorded_any_more(store: Store, clock: Clock) -> None:
    store.record_unmanaged([NAME, OTHER], clock())
    numbers = store.unmanaged_named([NAME, OTHER])
    store.forget_unmanaged([numbers[NAME]])
    assert store.unmanaged_numbers(0, 10) == [(numbers[OTHER], False)]
    assert store.unmanaged_numbers(numbers[OTHER], 10) == []
