"""Several threads and processes use one state: no work is lost or half done, even if one is killed."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from multiprocessing.connection import Connection

import pytest

from sslctl.errors import Busy
from sslctl.rules.model import Source
from sslctl.store.interface import Store
from sslctl.store.interface.domains import Query
from tests.support.fakes import START, Clock
from tests.support.store_backends import Backend
from tests.support.store_cases import (
    NAME,
    PATIENCE,
    finding,
    issue,
    open_order,
    processes,
    race,
    serve,
    write_and_acknowledge,
)

THREADS = 16


def together(work: Callable[[int], object]) -> None:
    """Run `work` in all threads, started at the same time."""
    start = threading.Barrier(THREADS)

    def begin(number: int) -> None:
        start.wait(PATIENCE)
        work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        for future in [pool.submit(begin, number) for number in range(THREADS)]:
            future.result(PATIENCE)


# Threads


def test_threads_work_on_separate_domains(store: Store, clock: Clock) -> None:
    def work(number: int) -> None:
        for turn in range(5):
            domain = store.add_domain(f"{number}-{turn}.test", (), Source.C4)
            assert store.claim([domain.name], timedelta(hours=1))
            domain = serve(store, issue(store, domain))
            store.record_finding(domain, None)
            store.release([domain.name])

    together(work)
    domains = list(store.domains(Query(), clock()))
    assert len(domains) == THREADS * 5
    for domain in domains:
        assert domain.serving is not None
        assert [event.kind for event in store.events(domain)] == ["added", "issued", "uploaded", "serving"]


def test_threads_that_change_one_domain_lose_no_change(store: Store) -> None:
    first = store.add_domain(NAME, (), Source.C4)
    turns = 10

    def work(number: int) -> None:
        done = 0
        while done < turns:
            try:
                store.record_finding(store.domain(NAME), finding(found=f"{number} in turn {done}"))
            except Busy:
                continue
            done += 1

    together(work)
    assert store.domain(NAME).revision == first.revision + THREADS * turns
    sent = Counter(event.detail for event in store.events(first) if event.kind == "found")
    assert len(sent) == THREADS * turns
    assert set(sent.values()) == {1}


def test_one_of_several_threads_adds_a_domain_or_opens_its_order(store: Store) -> None:
    ended: list[str] = []

    def attempt(step: Callable[[], object]) -> None:
        try:
            step()
        except Busy:
            ended.append("busy")
        else:
            ended.append("won")

    together(lambda _: attempt(lambda: store.add_domain(NAME, (), Source.C4)))
    domain = store.domain(NAME)
    together(lambda _: attempt(lambda: open_order(store, domain)))
    assert Counter(ended) == {"won": 2, "busy": 2 * (THREADS - 1)}


# Transactions


def _fail_inside(store: Store, error: BaseException) -> None:
    with store.transaction():
        changed = store.update_domain(store.domain(NAME), ("1.test",), Source.C4)
        with store.transaction():
            store.update_domain(changed, ("2.test",), Source.C4)
            raise error


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt(), SystemExit(), GeneratorExit()])
def test_transaction_is_rolled_back_by_any_exception(
    store: Store, backend: Backend, error: BaseException
) -> None:
    store.add_domain(NAME, (), Source.C4)
    before = backend.dump()
    with pytest.raises(type(error)):
        _fail_inside(store, error)
    assert backend.dump() == before
    # No transaction stays open, and no lock stays held: other handles can write, and so can this one.
    second = backend.open()
    second.record_finding(second.domain(NAME), finding())
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(store.domain, NAME).result(PATIENCE).finding == finding()
    store.record_finding(store.domain(NAME), None)
    second.close()


def test_nested_transaction_is_committed_with_the_outer_one(store: Store, backend: Backend) -> None:
    store.add_domain(NAME, (), Source.C4)
    before = backend.dump()
    with store.transaction():
        store.record_finding(store.domain(NAME), finding())
        assert backend.dump() == before
    assert store.domain(NAME).finding == finding()
    assert backend.dump() != before


# Processes


def test_exactly_one_of_two_processes_changes_a_domain(store: Store, backend: Backend) -> None:
    first, rounds, context = store.add_domain(NAME, (), Source.C4), 25, processes()
    start, results = context.Barrier(2), context.Queue()
    racers = [context.Process(target=race, args=(backend, NAME, rounds, start, results)) for _ in range(2)]
    for racer in racers:
        racer.start()
    one, other = (results.get(timeout=PATIENCE) for _ in racers)
    for racer in racers:
        racer.join(PATIENCE)
    assert [set(pair) for pair in zip(one, other, strict=True)] == [{"won", "busy"}] * rounds
    assert store.domain(NAME).revision == first.revision + rounds
    assert [event.kind for event in store.events(first)] == ["added"] + ["found"] * rounds


def test_process_killed_at_any_moment_loses_no_acknowledged_work(store: Store, backend: Backend) -> None:
    context = processes()
    acknowledged: list[str] = []
    for turn in range(20):
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=write_and_acknowledge, args=(backend, there))
        process.start()
        there.close()
        # Each is killed at another step: some while they open the state, most while they write.
        for _ in range(turn):
            assert here.poll(PATIENCE)
            acknowledged.append(here.recv())
        process.kill()
        acknowledged += _rest(here)
        process.join(PATIENCE)
        backend.require_intact()
    kept = {domain.name: domain for domain in store.domains(Query(), START)}
    assert len(acknowledged) >= sum(range(20))
    for name in acknowledged:
        assert kept[name].wanted is not None
    for domain in kept.values():
        order, version = store.find_open_order(domain), domain.wanted
        # Interrupted work is complete up to one of its steps, with its event and its key.
        assert [event.kind for event in store.events(domain)] == ["added"] + ["issued"] * (
            version is not None
        )
        assert order is None or version is None
        assert order is None or "PRIVATE KEY" in store.order_key(order)
        assert version is None or "PRIVATE KEY" in store.bundle(version).private_key


def _rest(sent: Connection) -> list[str]:
    """Return what a killed process still sent, up to the message that it did not finish."""
    rest: list[str] = []
    try:
        while sent.poll(PATIENCE):
            rest.append(sent.recv())
    except (EOFError, OSError):
        pass
    return rest
