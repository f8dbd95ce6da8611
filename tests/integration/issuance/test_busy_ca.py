"""A CA that is busy for a moment, as with its limits per IP address: no pause, unless it stays so."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest

from sslctl.issuance.circuit_breaker import FAILURE_THRESHOLD, CircuitBreaker
from sslctl.issuer import IssueError
from sslctl.rules.limits import LimitKind, Scope
from sslctl.rules.model import Order, Source
from sslctl.rules.reasons import Code
from sslctl.store.sqlite.store import SqliteStore
from tests.support.fakes import Clock
from tests.support.store_cases import open_order


@pytest.fixture
def order(store: SqliteStore) -> Order:
    return open_order(store, store.add_domain("a.test", (), Source.C4))


def refuse(breaker: CircuitBreaker, clock: Clock, order: Order, seconds: float, code: Code) -> None:
    retry_at = clock() + timedelta(seconds=seconds)
    with suppress(IssueError), breaker.watch(order):
        raise IssueError(code, "Service busy", retry_at=retry_at, pause=Scope(LimitKind.ACCOUNT))


@pytest.mark.parametrize(
    ("code", "seconds", "paused"),
    [
        (Code.CA_UNAVAILABLE, 0, False),
        (Code.CA_UNAVAILABLE, 1, False),
        (Code.CA_UNAVAILABLE, 60, False),
        (Code.CA_UNAVAILABLE, 61, True),
        (Code.CA_UNAVAILABLE, 3600, True),
        (Code.CA_RATE_LIMITED, 1, True),
    ],
)
def test_busy_moment_of_at_most_a_minute_pauses_nothing(
    store: SqliteStore, clock: Clock, order: Order, code: Code, seconds: float, *, paused: bool
) -> None:
    refuse(CircuitBreaker(store, clock), clock, order, seconds, code)
    assert (store.pauses(clock()) != []) is paused


def test_ca_that_stays_busy_opens_the_circuit_breaker(store: SqliteStore, clock: Clock, order: Order) -> None:
    breaker = CircuitBreaker(store, clock)
    for _ in range(FAILURE_THRESHOLD - 1):
        refuse(breaker, clock, order, 1, Code.CA_UNAVAILABLE)
    assert store.pauses(clock()) == []
    with breaker.watch(order):
        pass
    for _ in range(FAILURE_THRESHOLD):
        assert store.pauses(clock()) == [], "an answer restarted the count"
        refuse(breaker, clock, order, 1, Code.CA_UNAVAILABLE)
    [pause] = store.pauses(clock())
    assert (pause.scope.kind, pause.until) == (LimitKind.BREAKER, clock() + timedelta(minutes=1))
