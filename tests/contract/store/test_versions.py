"""Versions of a certificate: issued, uploaded, served, replaced, revoked."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sslctl.errors import Busy
from sslctl.rules.model import Domain, Source
from sslctl.store.interface import Store
from tests.support.fakes import START, Clock
from tests.support.store_backends import Backend
from tests.support.store_cases import (
    CERTIFICATE,
    CHAIN,
    NAME,
    bundle,
    finding,
    held,
    issue,
    kinds,
    leaf,
    open_order,
    private_key,
    serve,
)


def test_issued_certificate_is_stored_with_the_key_of_its_order(
    store: Store, domain: Domain, backend: Backend
) -> None:
    key = private_key("rsa")
    order = open_order(store, domain, key)
    facts = leaf(names=(NAME, "b.test"), serial="2a")
    kept = store.add_issued_certificate(domain, order, CERTIFICATE, CHAIN, facts)
    next_run = backend.open()
    assert next_run.domain(NAME) == kept
    assert next_run.find_open_order(kept) is None
    version = held(kept)
    assert (version.leaf, version.source, version.version, version.issued_at) == (facts, Source.C4, 1, START)
    assert kept.serving is None
    found = next_run.bundle(version)
    assert (found.certificate, found.chain, found.private_key) == (CERTIFICATE, CHAIN, key)
    event = next_run.events(kept)[-1]
    assert (event.kind, event.detail, event.version) == ("issued", "serial 2a", 1)
    next_run.close()


def test_order_stays_open_when_its_certificate_cannot_be_stored(store: Store, domain: Domain) -> None:
    """`add_issued_certificate` closes the order first; a later failure rolls that back."""
    order = open_order(store, domain)
    store.record_finding(domain, finding())
    with pytest.raises(Busy):
        store.add_issued_certificate(domain, order, CERTIFICATE, CHAIN, leaf())
    assert store.find_open_order(domain) == order
    assert store.order_key(order) == private_key()
    assert store.certificates(domain) == []


def test_versions_are_numbered_for_each_domain(store: Store, domain: Domain) -> None:
    other = store.add_domain("b.test", (), Source.TEXT)
    domain = issue(store, domain)
    other = store.add_text_certificate(other.name, other.sans, bundle(), leaf())
    domain = store.add_text_certificate(domain.name, domain.sans, bundle(), leaf())
    domain = issue(store, domain)
    assert [(each.version, each.source) for each in store.certificates(domain)] == [
        (3, Source.C4),
        (2, Source.TEXT),
        (1, Source.C4),
    ]
    assert [each.version for each in store.certificates(other)] == [1]
    assert kinds(store, domain) == ["added", "issued", "changed", "pasted", "issued"]
    assert kinds(store, other) == ["added", "pasted"]


def test_each_step_of_an_upload_records_its_time(
    store: Store, domain: Domain, clock: Clock, backend: Backend
) -> None:
    version = held(issue(store, domain))
    for step in (store.mark_uploading, store.mark_uploaded):
        clock.move(minutes=1)
        step(version)
    clock.move(minutes=1)
    served = store.mark_serving(store.domain(NAME), version, wanted=version)
    assert served.serving == served.wanted
    kept = held(served)
    minute = timedelta(minutes=1)
    assert (kept.uploaded_at, kept.verified_at, kept.replaced_at) == (
        START + 2 * minute,
        START + 3 * minute,
        None,
    )
    with backend.sql() as sql:
        assert sql("SELECT uploading_at FROM certificate", ()) == [("2026-11-23T04:01:00Z",)]
    assert [(event.kind, event.version) for event in store.events(served)][-2:] == [
        ("uploaded", 1),
        ("serving", 1),
    ]


def test_old_certificate_is_replaced_when_the_new_one_is_served(
    store: Store, domain: Domain, clock: Clock
) -> None:
    first = serve(store, issue(store, domain))
    clock.move(days=83)
    renewed = issue(store, first)
    assert (held(renewed).version, renewed.serving) == (2, first.serving)
    assert store.certificates(renewed)[1].replaced_at is None
    serve(store, renewed)
    new, old = store.certificates(renewed)
    assert (new.verified_at, new.replaced_at, old.verified_at, old.replaced_at) == (
        clock(),
        None,
        START,
        clock(),
    )


def test_version_that_was_never_served_is_not_replaced(store: Store, domain: Domain) -> None:
    served = serve(store, issue(store, issue(store, domain)))
    assert [version.replaced_at for version in store.certificates(served)] == [None, None]
    store.delete_domain(served)
    assert [version.replaced_at for version in store.certificates(served)] == [START, None]


def test_certificate_served_again_is_no_longer_replaced(store: Store, domain: Domain, clock: Clock) -> None:
    first = serve(store, issue(store, domain))
    old = held(first)
    second = serve(store, issue(store, first))
    clock.move(days=1)
    back = store.mark_serving(second, old, wanted=held(second))
    assert (held(back).id, back.serving and back.serving.id) == (held(second).id, old.id)
    assert [(each.version, each.replaced_at) for each in store.certificates(back)] == [
        (2, clock()),
        (1, None),
    ]
    assert kinds(store, back)[-1] == "serving"


def test_serving_the_same_certificate_writes_no_event(store: Store, domain: Domain) -> None:
    served = serve(store, issue(store, domain))
    before = kinds(store, served)
    served = store.mark_serving(served, held(served), wanted=served.wanted)
    assert kinds(store, served) == before


def test_certificate_that_c4_lost_stays_wanted(store: Store, domain: Domain) -> None:
    served = serve(store, issue(store, domain))
    lost = store.mark_not_serving(served, "C4 has no certificate")
    assert (lost.serving, held(lost).id) == (None, held(served).id)
    event = store.events(lost)[-1]
    assert (event.kind, event.detail, event.version) == ("not serving", "C4 has no certificate", 1)


@pytest.mark.parametrize("year", [1, 950, 9999])
def test_certificate_with_extreme_dates_is_stored_unchanged(store: Store, domain: Domain, year: int) -> None:
    facts = replace(
        leaf(), not_before=datetime(1, 1, 1, tzinfo=UTC), not_after=datetime(year, 12, 31, tzinfo=UTC)
    )
    store.add_text_certificate(domain.name, domain.sans, bundle(), facts)
    assert held(store.domain(NAME)).leaf == facts


def test_revocation_records_its_time_and_an_event(store: Store, domain: Domain) -> None:
    domain = issue(store, domain)
    store.mark_revoked(held(domain))
    assert held(store.domain(NAME)).revoked_at == START
    assert (store.events(domain)[-1].kind, store.events(domain)[-1].version) == ("revoked", 1)


def test_record_event_appends_to_the_history(store: Store, domain: Domain) -> None:
    store.record_event(domain, "key downloaded", "pem", 7)
    event = store.events(domain)[-1]
    assert (event.kind, event.detail, event.version, event.domain_id) == (
        "key downloaded",
        "pem",
        7,
        domain.id,
    )


def test_withdrawn_pair_returns_source_other_names_and_wanted_certificate(
    store: Store, domain: Domain
) -> None:
    served = serve(store, issue(store, domain))
    store.record_text_consent(served, "ab" * 32)
    pasted = store.add_text_certificate(NAME, ("new.example.com",), bundle(), leaf())
    assert (pasted.source, held(pasted).version) == (Source.TEXT, 2)
    back = store.withdraw_pair(pasted, held(pasted), "it expires sooner")
    assert back is not None
    assert (back.source, back.sans, back.wanted, back.finding, back.text_consent) == (
        Source.C4, domain.sans, served.wanted, None, "",
    )  # fmt: skip
    refused = [event for event in store.events(back) if event.kind == "not installed"]
    assert [(event.detail, event.version) for event in refused] == [("it expires sooner", 2)]
    assert [version.version for version in store.certificates(back)] == [2, 1]


def test_pair_of_a_domain_that_was_not_managed_before_is_not_withdrawn(store: Store, domain: Domain) -> None:
    store.delete_domain(domain)
    for name in (NAME, "new.example.com"):
        pasted = store.add_text_certificate(name, (), bundle(), leaf())
        assert store.withdraw_pair(pasted, held(pasted), "worse") is None
        assert store.domain(name) == pasted
