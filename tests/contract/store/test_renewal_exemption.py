"""Which orders are renewals: exempt from the limits of new orders only while the CA takes them for renewals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from sslctl.rules.budget import BudgetHeld
from sslctl.rules.limits import RENEWABLE_FOR, Limit, Limits
from sslctl.rules.model import Source
from sslctl.rules.reasons import Code
from sslctl.store.interface import Store
from tests.support.fakes import START, Clock
from tests.support.store_backends import Backend
from tests.support.store_cases import CERTIFICATE, CHAIN, CSR, leaf, private_key

CA, STAGING = "https://ca.test/directory", "https://staging.test/directory"
ONE_AN_HOUR = Limits(orders=Limit(1, timedelta(hours=1)), certificates=Limit(1, timedelta(hours=1)))
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


@contextmanager
def opened(backend: Backend, clock: Clock, limits: Limits = ONE_AN_HOUR, ca: str = CA) -> Iterator[Store]:
    store = backend.open(clock, ca=ca, limits=limits)
    try:
        yield store
    finally:
        store.close()


def issue(
    store: Store,
    clock: Clock,
    name: str,
    *sans: str,
    waited: timedelta = timedelta(),
    before: timedelta = timedelta(),
) -> None:
    """Order a certificate for the names; it is collected `waited` later, and its `not_before` is `before` the order."""
    domain = store.find(name) or store.add_domain(name, sans, Source.C4)
    ordered_at = clock()
    order = store.open_order(domain, domain.names, private_key(), CSR)
    order = store.record_order_url(order, f"{CA}/{order.id}")
    clock.at = ordered_at + waited
    facts = leaf(ordered_at - before, names=domain.names)
    store.add_issued_certificate(store.domain(name), order, CERTIFICATE, CHAIN, facts)


def use_up(store: Store) -> None:
    """Place the only new order of the hour."""
    domain = store.add_domain("other.test", (), Source.C4)
    order = store.open_order(domain, domain.names, private_key(), CSR)
    store.record_order_url(order, f"{CA}/other")


def is_exempt(store: Store, name: str) -> bool:
    """Return whether an order of the domain is placed although no new order may be."""
    domain = store.domain(name)
    try:
        order = store.open_order(domain, domain.names, private_key(), CSR)
    except BudgetHeld:
        return False
    store.close_order(order, Code.CA_UNAVAILABLE)
    return True


@pytest.mark.parametrize(
    ("age", "exempt"),
    [
        (timedelta(), True),
        (83 * DAY, True),
        (120 * DAY - SECOND, True),
        (120 * DAY, False),
        (120 * DAY + SECOND, False),
        (400 * DAY, False),
    ],
    ids=str,
)
def test_order_is_a_renewal_for_120_days_after_the_issuance(
    backend: Backend, age: timedelta, *, exempt: bool
) -> None:
    clock = Clock()
    with opened(backend, clock) as store:
        issue(store, clock, "a.test", "b.test")
        clock.move(seconds=age.total_seconds())
        if age > timedelta(hours=1):
            use_up(store)
        assert store.is_renewal(("b.test", "a.test")) is exempt
        assert is_exempt(store, "a.test") is exempt


@pytest.mark.parametrize(
    ("waited", "before"), [(2 * DAY, timedelta()), (timedelta(), timedelta(hours=1))], ids=str
)
def test_exemption_counts_from_not_before_and_not_from_the_collection(
    backend: Backend, waited: timedelta, before: timedelta
) -> None:
    clock = Clock()
    with opened(backend, clock, Limits()) as store:
        issue(store, clock, "a.test", waited=waited, before=before)
        clock.at = START - before + RENEWABLE_FOR - SECOND
        assert store.is_renewal(("a.test",))
        clock.move(seconds=1)
        assert not store.is_renewal(("a.test",))


def test_each_issuance_renews_the_exemption(backend: Backend) -> None:
    clock = Clock()
    with opened(backend, clock, Limits()) as store:
        for _ in range(4):
            issue(store, clock, "a.test")
            clock.move(days=83)
            assert store.is_renewal(("a.test",))
        clock.move(days=37)
        assert not store.is_renewal(("a.test",))


def test_the_newest_certificate_of_another_set_of_names_makes_no_renewal(backend: Backend) -> None:
    clock = Clock()
    with opened(backend, clock, Limits()) as store:
        issue(store, clock, "a.test")
        clock.move(days=100)
        store.update_domain(store.domain("a.test"), ("b.test",), Source.C4)
        assert not store.is_renewal(("a.test", "b.test"))
        issue(store, clock, "a.test")
        assert store.is_renewal(("a.test", "b.test"))
        clock.move(days=20)
        assert not store.is_renewal(("a.test",)), "the newer certificate is for other names"
        assert store.is_renewal(("a.test", "b.test"))


def test_certificate_of_staging_or_by_text_makes_no_renewal(backend: Backend) -> None:
    clock = Clock()
    with opened(backend, clock, Limits(), ca=STAGING) as store:
        issue(store, clock, "a.test")
        assert store.is_renewal(("a.test",))
    with opened(backend, clock, Limits()) as store:
        assert not store.is_renewal(("a.test",))
        bundle = store.bundle(store.certificates(store.domain("a.test"))[0])
        store.add_text_certificate("a.test", (), bundle, leaf(names=("a.test",)))
        assert not store.is_renewal(("a.test",))


def test_text_certificate_that_came_later_does_not_lengthen_the_exemption(backend: Backend) -> None:
    clock = Clock()
    with opened(backend, clock, Limits()) as store:
        issue(store, clock, "a.test")
        bundle = store.bundle(store.certificates(store.domain("a.test"))[0])
        clock.move(days=119)
        store.add_text_certificate("a.test", (), bundle, leaf(clock(), names=("a.test",)))
        assert store.is_renewal(("a.test",))
        clock.move(days=1)
        assert not store.is_renewal(("a.test",))


def test_deleted_domain_that_comes_back_is_renewed_within_the_exemption(backend: Backend) -> None:
    clock = Clock()
    with opened(backend, clock, Limits()) as store:
        issue(store, clock, "a.test")
        store.delete_domain(store.domain("a.test"))
        clock.move(days=60)
        assert store.is_renewal(("a.test",))


def test_order_that_issued_nothing_makes_no_renewal(backend: Backend) -> None:
    clock = Clock()
    with opened(backend, clock, Limits()) as store:
        domain = store.add_domain("a.test", (), Source.C4)
        order = store.open_order(domain, domain.names, private_key(), CSR)
        assert not store.is_renewal(("a.test",))
        store.close_order(order, Code.CHALLENGE_FAILED)
        assert not store.is_renewal(("a.test",))


def test_period_of_the_exemption_is_the_configured_one(backend: Backend) -> None:
    clock, limits = Clock(), Limits(renewable_for=10 * DAY)
    with opened(backend, clock, limits) as store:
        issue(store, clock, "a.test")
        clock.move(days=9)
        assert store.is_renewal(("a.test",))
        clock.move(days=1)
        assert not store.is_renewal(("a.test",))


def test_order_long_after_the_expiry_counts_against_the_limits(backend: Backend) -> None:
    clock = Clock()
    with opened(backend, clock) as store:
        issue(store, clock, "a.test")
        clock.move(days=200)
        assert store.orders_left(clock()) == 1
        issue(store, clock, "a.test")
        assert store.orders_left(clock()) == 0
