"""Orders: each step is stored before the next begins."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sslctl.errors import Busy
from sslctl.rules.model import Domain, Source
from sslctl.store.interface import Store
from tests.support.fakes import START
from tests.support.store_backends import Backend
from tests.support.store_cases import (
    CERTIFICATE,
    CHAIN,
    CSR,
    NAME,
    leaf,
    open_order,
    private_key,
)


def test_open_order_stores_key_and_csr(store: Store, domain: Domain, backend: Backend) -> None:
    order = store.open_order(domain, (NAME, "b.test"), private_key(), CSR)
    assert (order.names, order.csr_pem, order.url, order.opened_at) == ((NAME, "b.test"), CSR, None, START)
    assert store.domain(NAME) == domain
    next_run = backend.open()
    assert next_run.find_open_order(domain) == order
    assert next_run.order_key(order) == private_key()
    next_run.close()


def test_order_url_is_stored_at_once(store: Store, domain: Domain, backend: Backend) -> None:
    url = "https://ca.test/order/1"
    order = store.record_order_url(open_order(store, domain), url)
    next_run = backend.open()
    assert order.url == url
    assert next_run.find_open_order(domain) == order
    assert [(event.kind, event.detail) for event in next_run.events(domain)][-1] == ("ordered", url)
    next_run.close()


def test_second_open_order_of_a_domain_raises_busy(store: Store, domain: Domain) -> None:
    first = open_order(store, domain)
    with pytest.raises(Busy, match=r"an order for a\.test is open already"):
        open_order(store, domain)
    assert store.find_open_order(domain) == first
    store.close_order(first, "came to nothing")
    assert open_order(store, domain).id != first.id


def test_each_domain_may_have_an_open_order(store: Store, domain: Domain) -> None:
    other = store.add_domain("b.test", (), Source.C4)
    assert open_order(store, domain).domain_id == domain.id
    assert open_order(store, other).domain_id == other.id


@pytest.mark.parametrize(
    "step",
    [
        lambda store, order: store.record_order_url(order, "https://ca.test/order/1"),
        lambda store, order: store.close_order(order, "again"),
        lambda store, order: store.order_key(order),
        lambda store, order: store.add_issued_certificate(
            store.domain(NAME), order, CERTIFICATE, CHAIN, leaf()
        ),
    ],
    ids=["record_order_url", "close_order", "order_key", "add_issued_certificate"],
)
def test_step_with_a_closed_order_raises_busy_and_writes_nothing(
    store: Store, domain: Domain, backend: Backend, step: Callable[[Store, object], object]
) -> None:
    order = open_order(store, domain)
    store.close_order(order, "came to nothing")
    before = backend.dump()
    with pytest.raises(Busy, match="the order was closed by another sslctl meanwhile"):
        step(store, order)
    assert backend.dump() == before
