"""Certificates that another program ordered: versions with their own dates, which the CA's limits count."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from sslctl.rules.limits import Limit, LimitKind, Limits
from sslctl.rules.model import Bundle, Leaf, Source
from sslctl.store.interface import Store
from tests.support.fakes import START, Clock
from tests.support.store_backends import Backend
from tests.support.store_cases import NAME, bundle, held, issue, kinds, leaf

CA = "https://ca.test/directory"
DAY = timedelta(days=1)


def imported(*ages: float) -> list[tuple[Bundle, Leaf]]:
    """Return a certificate for each of `ages`, in days."""
    return [(bundle(), leaf(START - age * DAY, serial=f"{number:x}")) for number, age in enumerate(ages, 1)]


def test_imported_certificates_are_versions_with_their_own_dates(store: Store) -> None:
    made = imported(130, 70, 10)
    domain = store.add_imported_certificates(store.add_domain(NAME, (), Source.C4), made, CA)
    versions = store.certificates(domain)
    assert [(each.version, each.leaf, each.issued_at, each.replaced_at) for each in versions] == [
        (3, made[2][1], START - 10 * DAY, None),
        (2, made[1][1], START - 70 * DAY, START - 10 * DAY),
        (1, made[0][1], START - 130 * DAY, START - 70 * DAY),
    ]
    assert (held(domain).version, domain.serving, domain.dns_checked_at) == (3, None, None)
    assert store.bundle(versions[1]) == replace(made[1][0], ca=CA)
    assert kinds(store, domain) == ["added", "imported", "imported", "imported"]
    assert store.find_open_order(domain) is None


def test_imported_certificates_follow_those_of_the_domain(store: Store) -> None:
    domain = issue(store, store.add_domain(NAME, (), Source.C4))
    domain = store.add_imported_certificates(domain, imported(-1), "")
    assert [each.version for each in store.certificates(domain)] == [2, 1]
    assert held(domain).version == 2


@pytest.mark.parametrize(
    ("ages", "ca", "is_renewal"),
    [((130, 119), CA, True), ((130,), CA, False), ((10,), "https://other.test/directory", False)],
)
def test_imported_certificate_makes_the_next_order_a_renewal_for_120_days(
    backend: Backend, clock: Clock, ages: tuple[float, ...], ca: str, is_renewal: bool
) -> None:
    store = backend.open(clock, ca=CA)
    store.add_imported_certificates(store.add_domain(NAME, (), Source.C4), imported(*ages), ca)
    assert store.is_renewal((NAME,)) == is_renewal
    store.close()


@pytest.mark.parametrize(("ages", "left"), [((3,), 1), ((60, 3), 2), ((8,), 2)])
def test_limit_of_a_registered_domain_counts_imported_certificates_that_are_no_renewals(
    backend: Backend, clock: Clock, ages: tuple[float, ...], left: int
) -> None:
    limits = Limits(orders=Limit(5, 7 * DAY), certificates=Limit(2, 7 * DAY))
    store = backend.open(clock, ca=CA, limits=limits)
    store.add_imported_certificates(store.add_domain(NAME, (), Source.C4), imported(*ages), CA)
    assert store.limits_left(START) == {LimitKind.ORDERS: 5, LimitKind.CERTIFICATES: left}
    store.close()
