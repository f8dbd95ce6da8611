"""What a person chose for the certificates of a domain: kept with an event, part of its orders, and gone after a deletion."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sslctl.errors import Busy
from sslctl.rules.certificate_choice import AS_CONFIGURED, CertificateChoice
from sslctl.rules.model import Domain, Source
from sslctl.store.interface import Store
from tests.support.store_backends import Backend
from tests.support.store_cases import NAME

CHOICE = CertificateChoice("p384", "shortlived", "ISRG Root X1")


def test_choice_is_read_as_it_was_recorded_and_leaves_the_revision(
    store: Store, domain: Domain, backend: Backend
) -> None:
    assert store.record_choice(domain, CHOICE) == replace(domain, choice=CHOICE)
    again = backend.open()
    assert again.domain(NAME).choice == CHOICE
    again.close()


def test_each_change_has_an_event_with_the_new_and_the_old_choice(store: Store, domain: Domain) -> None:
    chosen = store.record_choice(domain, CertificateChoice("p384"))
    store.record_choice(chosen, CertificateChoice("p384"))
    store.record_choice(chosen, AS_CONFIGURED)
    assert [(event.kind, event.detail) for event in store.events(domain)][1:] == [
        ("chosen", "key type p384; was as configured"),
        ("chosen", "as configured; was key type p384"),
    ]


def test_choice_that_another_process_changed_is_busy(store: Store, domain: Domain) -> None:
    store.record_choice(domain, CHOICE)
    with pytest.raises(Busy):
        store.record_choice(domain, CertificateChoice("p256"))


def test_order_has_the_choice_of_the_time_when_it_was_opened(store: Store, domain: Domain) -> None:
    chosen = store.record_choice(domain, CHOICE)
    store.open_order(chosen, chosen.names, "key", "csr")
    store.record_choice(chosen, AS_CONFIGURED)
    order = store.find_open_order(domain)
    assert order is not None
    assert (order.profile, order.preferred_chain) == ("shortlived", "ISRG Root X1")
    store.close_order(order, "failed")
    order = store.open_order(store.domain(NAME), domain.names, "key", "csr")
    assert (order.profile, order.preferred_chain) == (None, None)


def test_domain_that_is_added_again_is_as_configured(store: Store, domain: Domain) -> None:
    store.delete_domain(store.record_choice(domain, CHOICE))
    assert store.add_domain(NAME, (), Source.C4).choice == AS_CONFIGURED
