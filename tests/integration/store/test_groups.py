"""Threads of one process share their commits, and each still has its own transaction.

A write that returned is on the disk, whatever happens to the other members of the group.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from sslctl.errors import StateBusy
from sslctl.rules.model import Source
from sslctl.store.interface.domains import Query
from sslctl.store.sqlite.database import Database
from sslctl.store.sqlite.store import SqliteStore
from sslctl.store.sqlite.waiting import Waiting
from tests.support.fakes import START
from tests.support.store_backends import SqliteBackend
from tests.support.store_cases import (
    NAME,
    PATIENCE,
    database_of,
    finding,
    look_into,
    open_store,
    processes,
    write_in_threads_and_acknowledge,
    write_until_the_disk_is_full,
    write_while_interrupted,
)

NOBODY = -1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the fixture `store`."""
    return tmp_path / "state"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(100) as running:
        yield running


@pytest.fixture
def commits(store: SqliteStore) -> Iterator[list[str]]:
    """The commits made from now on."""
    made: list[str] = []
    connection = store._database._connection
    connection.set_trace_callback(lambda sql: made.append(sql) if sql == "COMMIT" else None)
    yield made
    connection.set_trace_callback(None)


def names(folder: Path) -> list[str]:
    """Return the names that are on the disk."""
    with look_into(database_of(folder)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM domain ORDER BY name")]


def enrol(store: SqliteStore, name: str) -> str:
    return store.add_domain(name, (), Source.C4).name


@contextmanager
def held(store: SqliteStore) -> Iterator[None]:
    """Hold the connection as a thread inside a transaction does; its writes are rolled back."""
    with suppress(ZeroDivisionError), store._database.transaction():
        yield
        raise ZeroDivisionError


def wait_for(holds: Callable[[], bool]) -> None:
    gone_by = threading.Event()
    for _ in range(round(PATIENCE * 1000)):
        if holds():
            return
        gone_by.wait(0.001)
    raise AssertionError("waited in vain")


def in_one_group(
    store: SqliteStore, pool: ThreadPoolExecutor, *works: Callable[[], Any]
) -> list[Future[Any]]:
    """Start `works` in separate threads, in that order, while another thread holds the connection."""
    futures = []
    database = store._database
    with held(store):
        for number, work in enumerate(works, 1):
            futures.append(pool.submit(work))
            wait_for(lambda number=number: len(database._arriving) == number)  # type: ignore[misc]
    return futures


def ended(future: Future[Any]) -> str:
    """Return how a thread ended: its result, or the name of its error."""
    error = future.exception(PATIENCE)
    return str(future.result()) if error is None else type(error).__name__


# Sharing


def test_waiting_threads_share_a_commit(
    store: SqliteStore, folder: Path, pool: ThreadPoolExecutor, commits: list[str]
) -> None:
    wanted = [f"{number:02}.test" for number in range(30)]
    futures = in_one_group(store, pool, *(partial(enrol, store, name) for name in wanted))
    assert [ended(future) for future in futures] == wanted
    assert names(folder) == wanted
    # Exactly one, unless a group takes too long on a slow machine.
    assert 1 <= len(commits) < 10


def test_group_is_bounded(store: SqliteStore, pool: ThreadPoolExecutor, commits: list[str]) -> None:
    """Another process must be able to write while a hundred threads of this one write without end."""
    futures = in_one_group(
        store,
        pool,
        *(partial(enrol, store, f"{number}.test") for number in range(100)),
    )
    assert len({ended(future) for future in futures}) == 100
    assert len(commits) >= 2


def test_single_thread_commits_at_once(store: SqliteStore, folder: Path, commits: list[str]) -> None:
    for number in range(3):
        enrol(store, f"{number}.test")
        assert len(names(folder)) == len(commits) == number + 1


def test_acknowledged_work_is_on_the_disk(store: SqliteStore, folder: Path, pool: ThreadPoolExecutor) -> None:
    def work(thread: int) -> None:
        for number in range(10):
            name = enrol(store, f"{thread}-{number}.test")
            assert name in names(folder)

    for future in [pool.submit(work, thread) for thread in range(8)]:
        future.result(PATIENCE)


# Failing


def test_failing_member_rolls_back_its_own_work_only(
    store: SqliteStore, folder: Path, pool: ThreadPoolExecutor
) -> None:
    def fail() -> None:
        with store._database.transaction() as run:
            enrol(store, "failed.test")
            run("INSERT INTO domain (name) VALUES (NULL)")

    def give_up() -> None:
        with store._database.transaction():
            enrol(store, "given-up.test")
            raise KeyboardInterrupt

    futures = in_one_group(
        store,
        pool,
        lambda: enrol(store, "a.test"),
        fail,
        lambda: enrol(store, "b.test"),
        give_up,
        lambda: enrol(store, "a.test"),
        lambda: enrol(store, "c.test"),
    )
    outcomes = [ended(future) for future in futures]
    # The order of the threads depends on the operating system.
    assert outcomes.count("Busy") == 1
    assert sorted(outcomes) == ["Busy", "KeyboardInterrupt", "StateError", "a.test", "b.test", "c.test"]
    assert names(folder) == ["a.test", "b.test", "c.test"]
    assert store.record_finding(store.domain("a.test"), finding()).finding == finding()


def _everyone_is_told(
    store: SqliteStore, folder: Path, pool: ThreadPoolExecutor, poison: Callable[[], Any]
) -> None:
    """Verify that no member of a group returns successfully if one member makes the commit fail."""
    for turn in range(20):
        good = [f"{turn}-{number}.test" for number in range(5)]
        works: list[Callable[[], Any]] = [*(partial(enrol, store, name) for name in good), poison]
        futures = in_one_group(store, pool, *works)
        outcomes = [ended(future) for future in futures]
        # Each raises the error itself, not only that the commit failed.
        assert not any("interrupted" in str(future.exception()) for future in futures)
        # A thread that came after the failing member was in another group.
        kept = [name for name in outcomes if name in good]
        assert [name for name in names(folder) if name in good] == kept
        assert outcomes[-1] == "StateError"
        assert set(outcomes) - set(good) == {"StateError"}
        if len(kept) < len(good):
            assert enrol(store, "later.test") in names(folder)
            return
    raise AssertionError("the poison always came first")


def test_every_member_raises_when_sqlite_rolls_everything_back(
    store: SqliteStore, folder: Path, pool: ThreadPoolExecutor
) -> None:
    """SQLite does so after some disk errors."""
    with look_into(database_of(folder)) as connection:
        connection.execute(
            "CREATE TRIGGER poison BEFORE INSERT ON domain WHEN NEW.name = 'poison.test'"
            " BEGIN SELECT RAISE (ROLLBACK, 'all gone'); END"
        )
    _everyone_is_told(store, folder, pool, lambda: enrol(store, "poison.test"))


def test_every_member_raises_when_the_commit_fails(
    store: SqliteStore, folder: Path, pool: ThreadPoolExecutor
) -> None:
    """A broken reference is checked at the commit, because it might be repaired before."""
    enrol(store, NAME)

    def refer_to_nothing() -> None:
        with store._database.transaction() as run:
            run("PRAGMA defer_foreign_keys = ON")
            run("UPDATE domain SET wanted_id = 99 WHERE name = ?", (NAME,))

    _everyone_is_told(store, folder, pool, refer_to_nothing)
    assert store.domain(NAME).wanted is None


def test_every_member_raises_state_busy_when_another_process_reads_too_long(
    folder: Path, pool: ThreadPoolExecutor
) -> None:
    store = open_store(folder, waiting=Waiting(write_seconds=0))
    enrol(store, NAME)
    with look_into(database_of(folder)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM domain").fetchone()
        futures = in_one_group(store, pool, *(partial(enrol, store, name) for name in ("b.test", "c.test")))
        assert [type(future.exception(PATIENCE)) for future in futures] == [StateBusy, StateBusy]
    assert names(folder) == [NAME]
    assert enrol(store, "b.test") in names(folder)


def test_members_do_not_hang_when_the_committing_thread_never_comes(
    store: SqliteStore, folder: Path, commits: list[str]
) -> None:
    """Ctrl-C may interrupt a waiting thread at any moment."""
    store._database._arriving.add(NOBODY)
    assert enrol(store, NAME) in names(folder)
    assert len(commits) == 1


def test_members_do_not_hang_when_the_committing_thread_was_interrupted(
    store: SqliteStore, folder: Path, pool: ThreadPoolExecutor
) -> None:
    database = store._database
    database._arriving.add(NOBODY)
    future = pool.submit(enrol, store, NAME)
    wait_for(lambda: database._group is not None)
    with database._lock:
        # The group of this test, unless it ended a moment ago.
        group, database._group = database._group, None
        if group is not None:
            database._connection.execute("ROLLBACK")
    assert ended(future) == ("StateError" if group is not None else NAME)
    assert enrol(store, "later.test") in names(folder)


def test_half_ended_group_takes_no_new_member(
    store: SqliteStore, folder: Path, pool: ThreadPoolExecutor
) -> None:
    database = store._database
    database._arriving.add(NOBODY)
    future = pool.submit(enrol, store, NAME)
    wait_for(lambda: database._group is not None)
    with database._lock:
        if is_left := database._group is not None:
            database._connection.execute("ROLLBACK")
            database._arriving.discard(NOBODY)
            enrol_now = pool.submit(enrol, store, "later.test")
            wait_for(lambda: len(database._arriving) == 1)
    if is_left:
        assert (ended(enrol_now), ended(future)) == ("later.test", "StateError")
        assert names(folder) == ["later.test"]


def test_closing_commits_for_waiting_members(
    store: SqliteStore, folder: Path, pool: ThreadPoolExecutor
) -> None:
    store._database._arriving.add(NOBODY)
    future = pool.submit(enrol, store, NAME)
    wait_for(lambda: store._database._group is not None)
    store.close()
    assert ended(future) == NAME
    assert names(folder) == [NAME]


# Reading


def test_read_returns_after_the_commit_of_its_group(
    store: SqliteStore, folder: Path, pool: ThreadPoolExecutor
) -> None:
    """No thread acts on uncommitted work of another one."""
    store._database._arriving.add(NOBODY)
    writer = pool.submit(enrol, store, NAME)
    wait_for(lambda: store._database._group is not None)
    reader = pool.submit(lambda: (store.find(NAME) is not None, names(folder)))
    assert reader.result(PATIENCE) in [(True, [NAME]), (False, [])]
    assert writer.result(PATIENCE) == NAME


def test_read_of_lost_work_raises(folder: Path, pool: ThreadPoolExecutor) -> None:
    store = open_store(folder, waiting=Waiting(write_seconds=0, read_seconds=0))
    database: Database = store._database
    enrol(store, NAME)
    database._arriving.add(NOBODY)
    with look_into(database_of(folder)) as other:
        writer = pool.submit(store.record_finding, store.domain(NAME), finding())
        wait_for(lambda: database._group is not None)
        other.execute("BEGIN")
        other.execute("SELECT * FROM domain").fetchone()
        reader = pool.submit(store.domain, NAME)
        assert isinstance(writer.exception(PATIENCE), StateBusy)
        error = reader.exception(PATIENCE)
        assert isinstance(error, StateBusy) or reader.result().finding != finding()


# Processes


def test_threads_killed_at_any_moment_lose_no_acknowledged_work(store: SqliteStore, folder: Path) -> None:
    context = processes()
    acknowledged: list[str] = []
    for turn in range(8):
        here, there = context.Pipe(duplex=False)
        process = context.Process(
            target=write_in_threads_and_acknowledge, args=(SqliteBackend(folder), there)
        )
        process.start()
        there.close()
        for _ in range(turn * 25):
            assert here.poll(PATIENCE)
            acknowledged.append(here.recv())
        process.kill()
        acknowledged += _rest(here)
        process.join(PATIENCE)
        with look_into(database_of(folder)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    kept = {domain.name: domain for domain in store.domains(Query(), START)}
    assert len(acknowledged) >= 25 * sum(range(8))
    assert len(set(acknowledged)) == len(acknowledged)
    for name in acknowledged:
        assert kept[name].finding == finding()


def _rest(pipe: Connection) -> list[str]:
    rest: list[str] = []
    try:
        while pipe.poll(PATIENCE):
            rest.append(pipe.recv())
    except (EOFError, OSError):
        pass
    return rest


def test_full_disk_keeps_exactly_the_acknowledged_work(store: SqliteStore, folder: Path) -> None:
    context = processes()
    results = context.Queue()
    process = context.Process(target=write_until_the_disk_is_full, args=(folder, 200_000, results))
    process.start()
    acknowledged = results.get(timeout=PATIENCE)
    process.join(PATIENCE)
    assert process.exitcode == 0
    assert len(acknowledged) > 100
    assert names(folder) == sorted(acknowledged)
    with look_into(database_of(folder)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert store.events(store.domain("afterwards.test"))[0].kind == "added"


def test_ctrl_c_interrupts_one_thread_only(store: SqliteStore, folder: Path) -> None:
    context = processes()
    results = context.Queue()
    process = context.Process(target=write_while_interrupted, args=(folder, results))
    process.start()
    interrupts, acknowledged = results.get(timeout=PATIENCE)
    process.join(PATIENCE)
    assert process.exitcode == 0
    assert interrupts > 0
    assert len(acknowledged) == 8 * 40
    for thread in range(8):
        details = [event.detail for event in store.events(store.domain(f"t{thread}.test"))]
        assert len(details) == 41
    assert open_store(folder).domain(NAME) == store.domain(NAME)
