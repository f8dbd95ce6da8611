"""The CA's budget: no process orders beyond its limits, and no order within them is held back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sslctl.rules.budget import BudgetHeld
from sslctl.rules.limits import Limit, LimitKind, Limits, Scope
from sslctl.rules.model import Domain, Finding, Order, Source
from sslctl.rules.reasons import Code
from sslctl.store.interface import Store
from tests.support.fakes import START, Clock
from tests.support.store_backends import Backend
from tests.support.store_cases import (
    CERTIFICATE,
    CHAIN,
    CSR,
    PATIENCE,
    leaf,
    private_key,
    processes,
)

CA = "https://ca.test/directory"
HOUR = timedelta(hours=1)
LETS_ENCRYPTS = Limits(Limit(300, 3 * HOUR), Limit(50, 168 * HOUR), Limit(5, 168 * HOUR), Limit(5, HOUR))


@contextmanager
def opened(backend: Backend, limits: Limits, clock: Clock | None = None, ca: str = CA) -> Iterator[Store]:
    store = backend.open(clock, ca=ca, limits=limits)
    try:
        yield store
    finally:
        store.close()


def place(store: Store, name: str, *sans: str) -> Order:
    """Open an order that the CA accepts; add `name` if it is new."""
    domain = store.find(name) or store.add_domain(name, sans, Source.C4)
    order = store.open_order(domain, domain.names, private_key(), CSR)
    return store.record_order_url(order, f"{CA}/{order.id}")


def issue(store: Store, name: str, *sans: str) -> Domain:
    order = place(store, name, *sans)
    return store.add_issued_certificate(
        store.domain(name), order, CERTIFICATE, CHAIN, leaf(names=order.names)
    )


def fail(store: Store, name: str, code: Code = Code.CHALLENGE_FAILED) -> None:
    store.close_order(place(store, name), code)


def held(store: Store, name: str) -> BudgetHeld:
    domain = store.find(name) or store.add_domain(name, (), Source.C4)
    with pytest.raises(BudgetHeld) as caught:
        store.open_order(domain, domain.names, private_key(), CSR)
    assert store.find_open_order(domain) is None
    return caught.value


# Compared with an oracle


@dataclass
class Entry:
    """An order in the records of the oracle."""

    names: frozenset[str]
    opened_at: datetime
    is_renewal: bool
    accepted: bool = False
    closed_at: datetime | None = None
    outcome: str = ""

    @property
    def counts(self) -> bool:
        return self.accepted or self.closed_at is None

    @property
    def bought(self) -> bool:
        return self.outcome == "issued" or self.closed_at is None

    def failed(self, name: str) -> bool:
        return name in self.names and self.outcome in (Code.CHALLENGE_FAILED, Code.NXDOMAIN)


OWNERS = {
    "a.example.com": "example.com",
    "b.example.com": "example.com",
    "example.com": "example.com",
    "c.example.co.uk": "example.co.uk",
    "d.one.github.io": "one.github.io",
    "e.two.github.io": "two.github.io",
}
TIGHT = Limits(Limit(4, 3 * HOUR), Limit(2, 7 * HOUR), Limit(2, 5 * HOUR), Limit(2, HOUR))


def moments(book: list[Entry], kind: LimitKind, key: str, names: frozenset[str]) -> list[datetime]:
    """Return the times of all events that count against one limit."""
    if kind is LimitKind.ORDERS:
        return [e.opened_at for e in book if e.counts and not e.is_renewal]
    if kind is LimitKind.CERTIFICATES:
        return [
            e.opened_at
            for e in book
            if e.bought and not e.is_renewal and key in {OWNERS[name] for name in e.names}
        ]
    if kind is LimitKind.DUPLICATES:
        return [e.opened_at for e in book if e.bought and e.names == names]
    return [e.closed_at for e in book if e.failed(key) and e.closed_at is not None]


def against(
    limits: Limits, names: frozenset[str], *, is_renewal: bool
) -> Iterator[tuple[LimitKind, str, Limit]]:
    if limits.orders and not is_renewal:
        yield LimitKind.ORDERS, "", limits.orders
    if limits.certificates and not is_renewal:
        for owner in {OWNERS[name] for name in names}:
            yield LimitKind.CERTIFICATES, owner, limits.certificates
    if limits.duplicates:
        yield LimitKind.DUPLICATES, "", limits.duplicates
    if limits.failures:
        for name in names:
            yield LimitKind.FAILURES, name, limits.failures


def is_safe(book: list[Entry], names: frozenset[str], at: datetime, *, is_renewal: bool) -> bool:
    """Return whether an order at `at` stays within every limit, counted one by one."""
    return all(
        sum(at - limit.window < moment <= at for moment in moments(book, kind, key, names)) < limit.count
        for kind, key, limit in against(TIGHT, names, is_renewal=is_renewal)
    )


def first_safe(book: list[Entry], names: frozenset[str], now: datetime, *, is_renewal: bool) -> datetime:
    """Return the first time at which the order is safe, out of all times at which an event leaves a window."""
    ends = {
        moment + limit.window
        for kind, key, limit in against(TIGHT, names, is_renewal=is_renewal)
        for moment in moments(book, kind, key, names)
    }
    later = sorted(end for end in ends if end > now)
    return next(at for at in [now, *later] if is_safe(book, names, at, is_renewal=is_renewal))


def most_within(at: Iterable[datetime], window: timedelta) -> int:
    """Return the greatest number of the times `at` within any `window`."""
    ordered = list(at)
    return max((sum(one <= other < one + window for other in ordered) for one in ordered), default=0)


names_sets = st.lists(st.sampled_from(sorted(OWNERS)), min_size=1, max_size=2, unique=True).map(tuple)
ends = st.sampled_from(
    ["issued", Code.CHALLENGE_FAILED, Code.NXDOMAIN, Code.CA_UNAVAILABLE, "refused", "left open"]
)
waits = st.sampled_from([0, 1, 600, 1799, 1800, 3600, 5400, 3 * 3600, 5 * 3600])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(names_sets, ends, waits, waits), min_size=5, max_size=30))
def test_orders_are_held_exactly_as_the_oracle_computes(
    new_backend: Callable[[], Backend], history: list[tuple[tuple[str, ...], str, int, int]]
) -> None:
    clock, book, backend = Clock(), list[Entry](), new_backend()
    for number, (names, end, before, after) in enumerate(history):
        clock.move(seconds=before)
        # A new process each time: its queue is empty.
        with opened(backend, TIGHT, clock) as store:
            _take(store, clock, book, names, number, end, after)
    _compare(book)
    backend.discard()


def _take(
    store: Store,
    clock: Clock,
    book: list[Entry],
    names: tuple[str, ...],
    number: int,
    end: str,
    after: int,
) -> None:
    """Order `names` if the budget allows it, compare that with the oracle, and close the order `after` seconds later."""
    wanted, now = frozenset(names), clock()
    # Each order belongs to a domain of its own, so that orders for the same names can be open together.
    domain = store.add_domain(f"{number}.test", (), Source.C4)
    is_renewal = any(entry.outcome == "issued" and entry.names == wanted for entry in book)
    if not is_safe(book, wanted, now, is_renewal=is_renewal):
        with pytest.raises(BudgetHeld) as caught:
            store.open_order(domain, names, private_key(), CSR)
        assert caught.value.until == first_safe(book, wanted, now, is_renewal=is_renewal)
        return
    order = store.open_order(domain, names, private_key(), CSR)
    entry = Entry(wanted, now, is_renewal)
    book.append(entry)
    if end == "left open":
        return
    if end != "refused":
        order, entry.accepted = store.record_order_url(order, f"{CA}/{number}"), True
    clock.move(seconds=after)
    entry.closed_at, entry.outcome = clock(), end
    if end == "issued":
        store.add_issued_certificate(store.domain(domain.name), order, CERTIFICATE, CHAIN, leaf(names=names))
    else:
        store.close_order(order, Code.CA_RATE_LIMITED if end == "refused" else end)


def _compare(book: list[Entry]) -> None:
    """Verify that no window, wherever it begins, holds more than its limit."""
    assert TIGHT.orders
    assert TIGHT.certificates
    assert TIGHT.duplicates
    assert (
        most_within(moments(book, LimitKind.ORDERS, "", frozenset()), TIGHT.orders.window)
        <= TIGHT.orders.count
    )
    for owner in set(OWNERS.values()):
        bought = moments(book, LimitKind.CERTIFICATES, owner, frozenset())
        assert most_within(bought, TIGHT.certificates.window) <= TIGHT.certificates.count
    for names in {entry.names for entry in book}:
        bought = moments(book, LimitKind.DUPLICATES, "", names)
        assert most_within(bought, TIGHT.duplicates.window) <= TIGHT.duplicates.count


# What each limit counts, and its message


def test_new_orders_are_held_at_the_limit_of_the_account(backend: Backend) -> None:
    clock = Clock()
    with opened(backend, Limits(orders=Limit(2, 3 * HOUR)), clock) as store:
        for minute, name in enumerate(("a.test", "b.test")):
            clock.at = START + timedelta(minutes=minute)
            place(store, name)
        waiting_for_budget = held(store, "c.test")
        assert (waiting_for_budget.scope, waiting_for_budget.found) == (
            Scope(LimitKind.ORDERS),
            "2 of 2 new orders in 3 hours",
        )
        assert waiting_for_budget.until == START + 3 * HOUR
        clock.at = START + 3 * HOUR - timedelta(seconds=1)
        assert store.orders_left(clock()) == 0
        assert held(store, "c.test").until == START + 3 * HOUR
        clock.move(seconds=1)
        assert store.orders_left(clock()) == 1
        place(store, "c.test")
        assert held(store, "d.test").until == START + 3 * HOUR + timedelta(minutes=1)


def test_open_order_counts_and_one_that_the_ca_never_accepted_does_not(backend: Backend) -> None:
    with opened(backend, Limits(orders=Limit(1, HOUR))) as store:
        domain = store.add_domain("a.test", (), Source.C4)
        order = store.open_order(domain, domain.names, private_key(), CSR)
        assert store.orders_left(START) == 0
        store.close_order(order, Code.CA_UNAVAILABLE)
        assert store.orders_left(START) == 1


def test_new_certificates_are_limited_by_registered_domain(backend: Backend) -> None:
    with opened(backend, Limits(certificates=Limit(2, 168 * HOUR))) as store:
        issue(store, "a.shop.example.co.uk")
        place(store, "b.example.co.uk", "x.example.com")
        assert held(store, "c.example.co.uk").found == "2 of 2 new certificates for example.co.uk in 7 days"
        assert held(store, "c.example.co.uk").scope == Scope(LimitKind.CERTIFICATES, "example.co.uk")
        issue(store, "d.other.co.uk")
        fail(store, "y.example.com")
        place(store, "z.example.com")
        assert held(store, "w.example.com").found == "2 of 2 new certificates for example.com in 7 days"


def test_certificates_for_exactly_the_same_names_are_limited(backend: Backend) -> None:
    with opened(backend, Limits(duplicates=Limit(2, 168 * HOUR))) as store:
        for _ in range(2):
            issue(store, "a.test", "b.test")
        assert held(store, "a.test").found == "2 of 2 certificates for exactly these names in 7 days"
        store.update_domain(store.domain("a.test"), ("b.test", "c.test"), Source.C4)
        issue(store, "a.test")


@pytest.mark.parametrize("code", [Code.CHALLENGE_FAILED, Code.PORT_80_CLOSED, Code.NXDOMAIN], ids=str)
def test_failed_validations_are_limited_by_name(backend: Backend, code: Code) -> None:
    clock = Clock()
    with opened(backend, Limits(failures=Limit(2, HOUR)), clock) as store:
        fail(store, "a.test", code)
        clock.move(minutes=20)
        order = place(store, "a.test")
        clock.move(minutes=10)
        store.close_order(order, code)
        fail(store, "b.test", code)
        failing = held(store, "a.test")
        assert failing.scope == Scope(LimitKind.FAILURES, "a.test")
        assert failing.found == "2 of 2 failed validations of a.test in 1 hour"
        assert failing.until == START + HOUR
        place(store, "b.test")
        store.add_domain("other.test", ("a.test",), Source.C4)
        assert held(store, "other.test").scope == Scope(LimitKind.FAILURES, "a.test")


def test_renewal_is_exempt_from_the_limits_of_new_orders_only(backend: Backend) -> None:
    with opened(backend, Limits()) as store:
        issue(store, "a.example.com")
    with opened(backend, Limits(Limit(1, HOUR), Limit(1, HOUR), Limit(2, HOUR))) as store:
        assert held(store, "b.example.com").scope.kind in (LimitKind.ORDERS, LimitKind.CERTIFICATES)
        issue(store, "a.example.com")
        assert store.orders_left(START) == 0, "the first one was new, the second one is not counted"
        assert held(store, "a.example.com").scope.kind is LimitKind.DUPLICATES


def test_certificate_of_another_ca_makes_no_renewal(backend: Backend) -> None:
    """Otherwise an operator who tested at a CA's staging environment would exceed the limits of the real one."""
    with opened(backend, Limits(), ca="https://staging.test/directory") as store:
        issue(store, "a.test")
        issue(store, "b.test")
    with opened(backend, Limits(orders=Limit(1, HOUR))) as store:
        issue(store, "a.test")
        assert held(store, "b.test")
        issue(store, "a.test")


def test_text_certificate_makes_no_renewal(backend: Backend) -> None:
    with opened(backend, Limits(orders=Limit(1, HOUR))) as store:
        issue(store, "b.test")
        bundle = store.bundle(store.certificates(store.domain("b.test"))[0])
        store.add_text_certificate("a.test", (), bundle, leaf(names=("a.test",)))
        assert held(store, "a.test")


def test_each_ca_has_a_budget_of_its_own(backend: Backend) -> None:
    limits = Limits(Limit(1, HOUR), Limit(1, HOUR), Limit(1, HOUR), Limit(1, HOUR))
    with opened(backend, limits) as store:
        issue(store, "a.test")
        assert store.orders_left(START) == 0
    with opened(backend, limits, ca="https://other.test/directory") as store:
        assert store.orders_left(START) == 1
        place(store, "b.a.test")
        assert held(store, "c.test")


def test_orders_left_is_none_without_limits(backend: Backend) -> None:
    with opened(backend, Limits()) as store:
        for number in range(20):
            issue(store, f"{number}.example.com")
        assert store.orders_left(START) is None


def test_limit_that_lasts_longest_is_reported(backend: Backend) -> None:
    with opened(backend, Limits(Limit(1, HOUR), Limit(1, 24 * HOUR))) as store:
        issue(store, "a.example.com")
        assert held(store, "b.test").until == START + HOUR
        assert held(store, "b.example.com").until == START + 24 * HOUR


def test_lowered_limit_holds_until_enough_orders_have_left(backend: Backend) -> None:
    clock = Clock()
    with opened(backend, Limits(), clock) as store:
        for number in range(4):
            clock.at = START + timedelta(minutes=number)
            place(store, f"{number}.test")
    with opened(backend, Limits(orders=Limit(2, HOUR)), clock) as store:
        assert held(store, "b.test").found == "4 of 2 new orders in 1 hour"
        assert held(store, "b.test").until == START + HOUR + timedelta(minutes=2)
        assert store.orders_left(clock()) == 0


# Many waiting domains


def test_each_waiting_domain_gets_its_own_turn(backend: Backend) -> None:
    clock = Clock()
    with opened(backend, Limits(orders=Limit(3, HOUR)), clock) as store:
        for minute in (0, 10, 30):
            clock.at = START + timedelta(minutes=minute)
            place(store, f"{minute}.test")
        turns = [held(store, f"late-{number}.test").until for number in range(7)]
        assert [(at - START) / timedelta(minutes=1) for at in turns] == [60, 70, 90, 120, 130, 150, 180]
        assert held(store, "late-1.test").until == turns[1], "its position stays"


def test_domain_is_not_held_again_at_its_turn(backend: Backend) -> None:
    clock = Clock()
    with opened(backend, Limits(orders=Limit(3, HOUR), certificates=Limit(50, HOUR)), clock) as store:
        for minute in (0, 10, 30):
            clock.at = START + timedelta(minutes=minute)
            place(store, f"{minute}.test")
        turns = {f"late-{number}.test": held(store, f"late-{number}.test").until for number in range(20)}
        for name, at in turns.items():
            clock.at = at
            place(store, name)


def test_newcomers_come_after_the_domains_that_any_process_holds(backend: Backend) -> None:
    limits, clock = Limits(orders=Limit(2, HOUR)), Clock()
    with opened(backend, limits, clock) as store:
        for minute in (0, 10):
            clock.at = START + timedelta(minutes=minute)
            place(store, f"{minute}.test")
        for name in ("a.test", "b.test", "c.test"):
            _settle_held(store, name)
    with opened(backend, limits, clock) as store:
        turns = [held(store, name).until for name in ("d.test", "e.test", "a.test", "c.test")]
        assert [(at - START) / timedelta(minutes=1) for at in turns] == [130, 180, 60, 120]
        store.delete_domain(store.domain("b.test"))
    with opened(backend, limits, clock) as store:
        assert held(store, "d.test").until == START + 2 * HOUR


def test_overdue_domain_is_not_moved_to_the_end(backend: Backend) -> None:
    limits, clock = Limits(orders=Limit(1, HOUR)), Clock()
    with opened(backend, limits, clock) as store:
        place(store, "first.test")
        for name in ("a.test", "b.test", "c.test"):
            _settle_held(store, name)
        clock.at = START + HOUR
        place(store, "hasty.test")
    with opened(backend, limits, clock) as store:
        assert [held(store, name).until for name in ("a.test", "b.test", "d.test")] == [
            START + 2 * HOUR,
            START + 2 * HOUR,
            START + 4 * HOUR,
        ]


def test_limits_of_different_names_share_no_queue(backend: Backend) -> None:
    with opened(backend, Limits(failures=Limit(1, HOUR))) as store:
        for name in ("a.test", "b.test", "c.test"):
            fail(store, name)
        for name in ("a.test", "c.test"):
            _settle_held(store, name)
        assert held(store, "b.test").until == START + HOUR


def test_waiting_for_budget_returns_the_longest_waiting_first(backend: Backend) -> None:
    """If a limit was raised or others left, domains may go before the time that they were given."""
    with opened(backend, Limits(orders=Limit(1, HOUR))) as store:
        issue(store, "a.test")
        for name in ("c.test", "b.test", "e.test", "d.test"):
            _settle_held(store, name)
        store.delete_domain(store.domain("c.test"))
        assert [domain.name for domain in store.waiting_for_budget(START, 2)] == ["b.test", "e.test"]
        assert store.waiting_for_budget(START + 24 * HOUR, 9) == []


def test_waiting_for_budget_excludes_domains_held_by_another_limit(backend: Backend) -> None:
    with opened(backend, Limits(certificates=Limit(1, HOUR))) as store:
        issue(store, "a.example.com")
        _settle_held(store, "b.example.com")
        assert store.waiting_for_budget(START, 9) == []


def _settle_held(store: Store, name: str) -> None:
    caught = held(store, name)
    finding = Finding(Code.BUDGET_HELD, caught.found, str(caught.scope), START, caught.until)
    store.record_finding(store.domain(name), finding)


# At the same time


def spend(backend: Backend, limits: Limits, number: int, start: Barrier, results: Queue[int]) -> None:
    """Place as many orders as the budget allows, at the same time as other processes."""
    store = backend.open(ca=CA, limits=limits)
    start.wait(PATIENCE)
    results.put(_spend(store, f"p{number}"))
    store.close()


def _spend(store: Store, label: str) -> int:
    placed = 0
    for number in range(12):
        try:
            place(store, f"{number}.{label}.example.com")
        except BudgetHeld:
            continue
        placed += 1
    return placed


SHARED = Limits(orders=Limit(20, HOUR), certificates=Limit(19, HOUR))


def test_concurrent_processes_never_overspend(backend: Backend) -> None:
    backend.open(limits=SHARED).close()
    context = processes()
    start, results = context.Barrier(4), context.Queue()
    workers = [context.Process(target=spend, args=(backend, SHARED, n, start, results)) for n in range(4)]
    for worker in workers:
        worker.start()
    assert sum(results.get(timeout=PATIENCE) for _ in workers) == 19
    for worker in workers:
        worker.join(PATIENCE)
        assert worker.exitcode == 0


def test_concurrent_threads_never_overspend(backend: Backend) -> None:
    with opened(backend, SHARED) as store:
        placed: list[int] = []
        threads = [
            threading.Thread(target=lambda label=label: placed.append(_spend(store, f"t{label}")))
            for label in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert sum(placed) == 19
        assert store.orders_left(START) == 1
