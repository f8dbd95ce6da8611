"""Figures of the fleet that are counted as things happen, and what is left of the CA's limits."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sslctl.rules.limits import Limit, LimitKind, Limits
from sslctl.rules.model import Mark, Milestone, Source
from sslctl.rules.reasons import Code
from sslctl.rules.renewal import RenewalRule
from sslctl.store.interface import Store
from sslctl.store.interface.metrics import Counted
from tests.support.fakes import Clock
from tests.support.store_backends import Backend
from tests.support.store_cases import CSR, finding, issue, open_order, private_key, serve

_LIMITS = Limits(orders=Limit(300, timedelta(hours=3)), certificates=Limit(50, timedelta(days=7)))


def test_closed_orders_are_counted_by_outcome_and_open_ones_are_not(store: Store) -> None:
    assert store.outcomes(Counted.ORDERS) == {}
    domain = issue(store, store.add_domain("a.test", (), Source.C4))
    store.close_order(open_order(store, domain), Code.CHALLENGE_FAILED)
    other = issue(store, store.add_domain("b.test", (), Source.C4))
    open_order(store, other)
    assert store.outcomes(Counted.ORDERS) == {"issued": 2, "CHALLENGE_FAILED": 1}


def test_each_upload_is_counted_even_of_the_same_certificate(store: Store) -> None:
    domain = issue(store, store.add_domain("a.test", (), Source.C4))
    assert domain.wanted is not None
    store.count_failed_upload(Code.C4_UPLOAD_FAILED)
    store.mark_uploaded(domain.wanted)
    store.mark_uploaded(domain.wanted)
    assert store.outcomes(Counted.UPLOADS) == {"accepted": 2, "C4_UPLOAD_FAILED": 1}


def test_a_count_of_a_rolled_back_transaction_is_gone(store: Store) -> None:
    def fail() -> None:
        with store.transaction():
            store.count_failed_upload(Code.C4_REJECTED)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert store.outcomes(Counted.UPLOADS) == {}


def test_uploads_are_owed_until_c4_serves_the_certificate_or_it_expires(store: Store, clock: Clock) -> None:
    assert store.count_uploads_owed(clock()) == 0
    domain = issue(store, store.add_domain("a.test", (), Source.C4), days=10)
    unknown = issue(store, store.add_domain("b.test", (), Source.C4), days=10)
    assert store.count_uploads_owed(clock()) == 2
    store.record_finding(unknown, finding(Code.C4_UNKNOWN_DOMAIN))
    assert store.count_uploads_owed(clock()) == 1
    assert store.count_uploads_owed(clock() + timedelta(days=10)) == 0
    serve(store, domain)
    assert store.count_uploads_owed(clock()) == 0


def test_renewal_of_a_short_certificate_is_overdue_later(store: Store, clock: Clock) -> None:
    serve(store, issue(store, store.add_domain("a.test", (), Source.C4), days=6))
    left = {
        days: store.count_overdue(clock() + timedelta(days=6 - days), RenewalRule()) for days in (2, 1, 0)
    }
    assert left == {2: 0, 1: 1, 0: 0}


def test_limits_left_is_of_the_registered_domain_with_fewest_left(backend: Backend, clock: Clock) -> None:
    store = backend.open(clock, limits=_LIMITS)
    assert store.limits_left(clock()) == {LimitKind.ORDERS: 300, LimitKind.CERTIFICATES: 50}
    for name in ("a.one.test", "b.one.test", "two.test"):
        store.open_order(store.add_domain(name, (), Source.C4), (name,), private_key(), CSR)
    assert store.limits_left(clock()) == {LimitKind.ORDERS: 297, LimitKind.CERTIFICATES: 48}
    clock.move(days=8)
    assert store.limits_left(clock()) == {LimitKind.ORDERS: 300, LimitKind.CERTIFICATES: 50}
    store.close()


def test_limits_left_leaves_out_limits_that_are_off(store: Store, clock: Clock) -> None:
    assert store.limits_left(clock()) == {}


def test_a_milestone_keeps_how_long_it_took(store: Store, clock: Clock) -> None:
    store.record_milestone(Milestone.TICK_ENDED, "", 2.5)
    assert store.milestones()[Milestone.TICK_ENDED] == Mark(clock(), "tester (pytest)", "", 2.5)
