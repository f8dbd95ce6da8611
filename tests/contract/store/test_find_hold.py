"""`find_hold`: what would hold back an order, also of a domain that is not stored; nothing is reserved."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sslctl.rules.budget import BudgetHeld
from sslctl.rules.limits import Limit, LimitKind, Limits, Scope
from sslctl.rules.model import Domain, Source
from tests.support.fakes import START, Clock
from tests.support.store_backends import Backend
from tests.support.store_cases import NAME, open_order

HOUR = timedelta(hours=1)


def stranger(clock: Clock) -> Domain:
    return Domain(0, "new.example.com", (), Source.C4, clock())


def test_find_hold_returns_the_same_as_require_budget_and_reserves_no_position(
    backend: Backend, clock: Clock
) -> None:
    store = backend.open(clock, limits=Limits(orders=Limit(1, HOUR)))
    assert store.find_hold(stranger(clock)) is None
    open_order(store, store.add_domain(NAME, (), Source.C4))
    waiting = store.add_domain("b.example.com", (), Source.C4)
    held = [store.find_hold(domain) for domain in (stranger(clock), stranger(clock), waiting)]
    assert [each and each.until for each in held] == 3 * [START + HOUR]
    with pytest.raises(BudgetHeld) as caught:
        store.require_budget(waiting, waiting.names)
    assert (caught.value.until, caught.value.found) == (START + HOUR, held[2] and held[2].found)
    store.close()


def test_find_hold_returns_a_pause(backend: Backend, clock: Clock) -> None:
    store = backend.open(clock)
    store.pause(Scope(LimitKind.ACCOUNT), START + 2 * HOUR, "too many requests")
    held = store.find_hold(stranger(clock))
    assert held is not None
    assert (held.until, held.found) == (START + 2 * HOUR, "too many requests")
    store.close()
