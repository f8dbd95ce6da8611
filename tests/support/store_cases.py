"""What the store's tests share: values to store, steps, and the work of other processes."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta
from functools import cache
from itertools import count
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from threading import Lock, main_thread
from typing import TYPE_CHECKING

from sslctl.certificates import x509
from sslctl.errors import Busy, StateError
from sslctl.rules.model import Bundle, Certificate, Domain, Finding, Leaf, Order, Source
from sslctl.rules.reasons import Code
from sslctl.store.interface import Store
from sslctl.store.keyring import Keyring
from sslctl.store.sqlite.store import SqliteStore
from sslctl.store.sqlite.waiting import Waiting
from tests.support.fakes import START, Clock

if TYPE_CHECKING:
    from tests.support.store_backends import Backend

NAME = "a.test"
CSR = "-----BEGIN CERTIFICATE REQUEST-----\nrequest\n-----END CERTIFICATE REQUEST-----\n"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nleaf\n-----END CERTIFICATE-----\n"
CHAIN = "-----BEGIN CERTIFICATE-----\nintermediate\n-----END CERTIFICATE-----\n"
PATIENCE = 30.0


def database_of(folder: Path) -> Path:
    return folder / "sslctl.db"


def key_of(folder: Path) -> Path:
    return folder / "master.key"


def open_store(
    folder: Path, clock: Callable[[], datetime] | None = None, *, waiting: Waiting | None = None
) -> SqliteStore:
    """Open the state in `folder`, and create it if there is none."""
    return SqliteStore(
        database_of(folder),
        Keyring(key_of(folder)),
        clock=clock or Clock(),
        actor="tester (test)",
        create=True,
        waiting=waiting,
    )


@contextmanager
def look_into(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection of the test's own, which commits each statement."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=PATIENCE)) as connection:
        yield connection


def dump(path: Path) -> str:
    """Return everything that a database holds, except claims."""
    with look_into(path) as connection:
        return "\n".join(line for line in connection.iterdump() if not line.startswith('INSERT INTO "lease"'))


@cache
def private_key(kind: str = "ecdsa") -> str:
    """Return a private key, PEM: the same one for the same kind."""
    return x509.make_key(kind)


def leaf(
    at: datetime = START, *, names: tuple[str, ...] = (NAME,), days: float = 90, serial: str = "1f"
) -> Leaf:
    return Leaf(names, "ab" * 32, serial, "CN=CA", "ECDSA P-256", at, at + timedelta(days=days))


def bundle(key: str | None = None) -> Bundle:
    return Bundle(CERTIFICATE, CHAIN, key or private_key())


def finding(code: Code = Code.CNAME_ELSEWHERE, found: str = "this", *, at: datetime = START) -> Finding:
    return Finding(
        code, found, "that", at, None if code is Code.C4_UNKNOWN_DOMAIN else at + timedelta(hours=1)
    )


def open_order(store: Store, domain: Domain, key: str | None = None) -> Order:
    return store.open_order(domain, domain.names, key or private_key(), CSR)


def issue(store: Store, domain: Domain, **kinds: float) -> Domain:
    """Order a certificate for `domain` and store it."""
    order = open_order(store, domain)
    return store.add_issued_certificate(domain, order, CERTIFICATE, CHAIN, leaf(names=domain.names, **kinds))  # type: ignore[arg-type]


def serve(store: Store, domain: Domain) -> Domain:
    """Record each step of the upload of the wanted certificate."""
    certificate = held(domain)
    store.mark_uploading(certificate)
    store.mark_uploaded(certificate)
    return store.mark_serving(domain, certificate, wanted=certificate)


def held(domain: Domain) -> Certificate:
    assert domain.wanted is not None
    return domain.wanted


def kinds(store: Store, domain: Domain) -> list[str]:
    return [event.kind for event in store.events(domain)]


def _add_issued_certificate(store: Store, domain: Domain) -> object:
    order = store.find_open_order(domain)
    assert order is not None
    return store.add_issued_certificate(domain, order, CERTIFICATE, CHAIN, leaf())


Step = Callable[[Store, Domain], object]

# Every compare-and-set method, for a domain that is served and has an open order.
ADVANCES: dict[str, Step] = {
    "update_domain": lambda store, domain: store.update_domain(domain, ("b.test",), Source.TEXT),
    "record_finding": lambda store, domain: store.record_finding(domain, finding()),
    "record_finding healthy": lambda store, domain: store.record_finding(domain, None),
    "delete_domain": lambda store, domain: store.delete_domain(domain),
    "add_issued_certificate": _add_issued_certificate,
    "add_imported_certificates": lambda store, domain: store.add_imported_certificates(
        domain, [(bundle(), leaf())], ""
    ),
    "mark_serving": lambda store, domain: store.mark_serving(domain, held(domain), wanted=held(domain)),
    "mark_not_serving": lambda store, domain: store.mark_not_serving(domain, "C4 has another certificate"),
}


# Other processes. They are forked from a server that has imported everything, so that many cost little.


@cache
def processes() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.store_backends", "tests.support.tick_cases"])
    return context


def race(backend: Backend, name: str, rounds: int, start: Barrier, results: Queue[list[str]]) -> None:
    """Record a finding of `name` once a round, from the same value as the other processes; send how each round ended."""
    store, ended = backend.open(), []
    for number in range(rounds):
        start.wait(PATIENCE)
        domain = store.domain(name)
        start.wait(PATIENCE)
        try:
            store.record_finding(domain, finding(found=f"{os.getpid()} in round {number}"))
        except Busy:
            ended.append("busy")
        else:
            ended.append("won")
    results.put(ended)


def open_first(folder: Path, start: Barrier, results: Queue[str]) -> None:
    """Open a store that does not exist yet, at the same time as other processes, and use it."""
    start.wait(PATIENCE)
    try:
        store = open_store(folder)
        name = f"p{os.getpid()}.test"
        open_order(store, store.add_domain(name, (), Source.C4))
        results.put(name)
    except Exception as error:
        results.put(f"{type(error).__name__}: {error}")
        raise


def claim_and_hold(backend: Backend, name: str, pipe: Connection) -> None:
    """Claim `name`, send whether that succeeded, and stay alive."""
    store = backend.open()
    pipe.send(store.claim([name], timedelta(hours=1)) == {name})
    time.sleep(PATIENCE)


def write_and_acknowledge(backend: Backend, pipe: Connection) -> None:
    """Write without end, and send each name once its write is acknowledged."""
    store, number = backend.open(), 0
    while True:
        domain = store.add_domain(f"{number}.p{os.getpid()}.test", (), Source.C4)
        order = open_order(store, domain)
        store.add_issued_certificate(domain, order, CERTIFICATE, CHAIN, leaf())
        pipe.send(domain.name)
        number += 1


def write_in_threads_and_acknowledge(backend: Backend, pipe: Connection) -> None:
    """Write without end in several threads, and send each name once its write is acknowledged."""
    store, lock = backend.open(), Lock()

    def write(thread: int) -> None:
        for number in count():
            domain = store.add_domain(f"{number}.t{thread}.p{os.getpid()}.test", (), Source.C4)
            domain = store.record_finding(domain, finding())
            with lock:
                pipe.send(domain.name)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))


def write_until_the_disk_is_full(folder: Path, left: int, results: Queue[list[str]]) -> None:
    """Write in several threads until no file may grow by more than `left` bytes; send what was acknowledged."""
    store, acknowledged = open_store(folder), list[str]()
    size = database_of(folder).stat().st_size + left
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def write(thread: int) -> None:
        with suppress(StateError):
            for number in count():
                acknowledged.append(store.add_domain(f"{number}.t{thread}.test", (), Source.C4).name)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    # The store works again as soon as there is disk space.
    acknowledged.append(store.add_domain("afterwards.test", (), Source.C4).name)
    results.put(acknowledged)


def write_while_interrupted(folder: Path, results: Queue[tuple[int, list[str]]]) -> None:
    """Write in threads while Ctrl-C interrupts the main thread, which writes too.

    Tells how often it came to a write, and what was acknowledged to the others.
    """
    store, acknowledged = open_store(folder), list[str]()
    store.add_domain(NAME, (), Source.C4)
    interrupts, is_writing = 0, False

    def interrupt(*_: object) -> None:
        nonlocal is_writing
        if is_writing:
            is_writing = False
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)

    def write(thread: int) -> None:
        domain = store.add_domain(f"t{thread}.test", (), Source.C4)
        for number in range(40):
            domain = store.record_finding(domain, finding(found=f"{number}"))
            acknowledged.append(f"{thread}.{number}")
            signal.pthread_kill(main_thread().ident or 0, signal.SIGINT)

    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(write, thread) for thread in range(8)]
        while not all(future.done() for future in futures):
            try:
                is_writing = True
                store.record_finding(store.domain(NAME), finding(found=f"{interrupts}"))
                is_writing = False
            except KeyboardInterrupt:
                interrupts += 1
        for future in futures:
            future.result(PATIENCE)
    results.put((interrupts, acknowledged))


def write_some(backend: Backend, number: int) -> None:
    """Write two events for each of `number` domains."""
    store = backend.open()
    for each in range(number):
        store.record_finding(store.add_domain(f"{each}.p{os.getpid()}.test", (), Source.C4), finding())
    store.close()
