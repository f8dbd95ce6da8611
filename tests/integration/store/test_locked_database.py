"""Another process has locked the database: statements wait for it, and a wait in vain is an error of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from sslctl.errors import Busy, Exit, StateBusy
from sslctl.rules.model import Source
from sslctl.store.sqlite import waiting as waiting_module
from sslctl.store.sqlite.inspection import Inspection
from sslctl.store.sqlite.store import SqliteStore
from sslctl.store.sqlite.waiting import Waiting
from tests.support.database_lock import EXCLUSIVE, READ, WRITE, LockHolder, holding
from tests.support.store_backends import SqliteBackend
from tests.support.store_cases import (
    NAME,
    PATIENCE,
    database_of,
    finding,
    look_into,
    open_store,
    processes,
    write_some,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a state that has one domain."""
    with closing(open_store(tmp_path / "state")) as store:
        store.add_domain(NAME, (), Source.C4)
    return tmp_path / "state"


class Notices(list[str]):
    """The notices of waiting; the first one releases the lock."""

    holder: LockHolder | None = None

    def __call__(self, message: str) -> None:
        """Keep the notice and release the lock."""
        self.append(message)
        if self.holder is not None:
            self.holder.release()


def until_noticed(notices: Notices) -> Waiting:
    """Return a wait that is long enough, with a notice at once."""
    return Waiting(PATIENCE, PATIENCE, notice_seconds=0, on_notice=notices)


def names(folder: Path) -> list[str]:
    """Return the names that are on the disk."""
    with look_into(database_of(folder)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM domain ORDER BY name")]


def enrol(store: SqliteStore, name: str) -> str:
    return store.add_domain(name, (), Source.C4).name


def read(store: SqliteStore) -> object:
    return store.find(NAME)


# Waiting


@pytest.mark.parametrize(
    ("lock", "work"),
    [
        pytest.param(READ, partial(enrol, name="b.test"), id="commit waits for a reader"),
        pytest.param(WRITE, partial(enrol, name="b.test"), id="begin waits for a writer"),
        pytest.param(EXCLUSIVE, partial(enrol, name="b.test"), id="begin waits for a commit"),
        pytest.param(EXCLUSIVE, read, id="read waits for a commit"),
        pytest.param(EXCLUSIVE, lambda store: store.check_integrity(1), id="check waits for a commit"),
    ],
)
def test_statement_waits_for_the_lock_of_another_process_and_names_it(
    folder: Path, lock: str, work: Callable[[SqliteStore], object]
) -> None:
    notices = Notices()
    with (
        closing(open_store(folder, waiting=until_noticed(notices))) as store,
        holding(database_of(folder), lock) as holder,
    ):
        notices.holder = holder
        assert work(store)
    assert len(notices) == 1
    assert f"process {holder.pid} (python" in notices[0]
    assert names(folder) == ([NAME, "b.test"] if isinstance(work, partial) else [NAME])


def test_opening_waits_for_the_lock_of_another_process(folder: Path) -> None:
    notices = Notices()
    with holding(database_of(folder), EXCLUSIVE) as holder:
        notices.holder = holder
        with closing(open_store(folder, waiting=until_noticed(notices))) as store:
            assert enrol(store, "b.test") in names(folder)
    assert len(notices) == 1


def test_backup_waits_for_a_commit_of_another_process(folder: Path, tmp_path: Path) -> None:
    notices = Notices()
    with (
        closing(open_store(folder, waiting=until_noticed(notices))) as store,
        holding(database_of(folder), EXCLUSIVE) as holder,
    ):
        notices.holder = holder
        assert store.back_up(tmp_path / "copy").domains == 1
    assert len(notices) == 1


def test_backups_and_writers_all_end_when_they_run_at_the_same_time(folder: Path, tmp_path: Path) -> None:
    context = processes()
    writers = [context.Process(target=write_some, args=(SqliteBackend(folder), 40)) for _ in range(2)]
    with closing(open_store(folder)) as store:
        for writer in writers:
            writer.start()
        copies = [store.back_up(tmp_path / f"{number}.db") for number in range(10)]
        for writer in writers:
            writer.join(PATIENCE)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert len(names(folder)) == 81
    assert sorted(copy.domains for copy in copies) == [copy.domains for copy in copies]


def test_commit_that_waits_keeps_new_readers_out(folder: Path) -> None:
    """Readers that overlap without end would otherwise hold up a change for ever."""
    held, database = threading.Event(), database_of(folder)
    with (
        holding(database) as holder,
        closing(
            open_store(folder, waiting=Waiting(notice_seconds=0, on_notice=lambda _: held.set()))
        ) as store,
        ThreadPoolExecutor(1) as pool,
    ):
        writing = pool.submit(enrol, store, "b.test")
        assert held.wait(PATIENCE)
        try:
            with pytest.raises(StateBusy), closing(open_store_to_read(folder)) as other:
                other.find(NAME)
        finally:
            holder.release()
        assert writing.result(PATIENCE) in names(folder)


def open_store_to_read(folder: Path) -> Inspection:
    return Inspection(database_of(folder), [""], waiting=Waiting(read_seconds=0))


# Waiting in vain


def test_wait_in_vain_raises_state_busy_which_is_no_busy(folder: Path) -> None:
    with (
        closing(open_store(folder, waiting=Waiting(write_seconds=0))) as store,
        holding(database_of(folder)) as holder,
    ):
        with pytest.raises(StateBusy, match=rf"locked by process {holder.pid} \(python") as raised:
            enrol(store, "b.test")
        assert (raised.value.code, raised.value.exit_code) == ("STATE_BUSY", Exit.TRY_LATER)
        assert not isinstance(raised.value, Busy)
        assert "end it" in str(raised.value.hint)
        assert names(folder) == [NAME]
        holder.release()
        assert enrol(store, "b.test") in names(folder)


@pytest.mark.parametrize("work", [read, lambda store: store.back_up(Path("/nowhere/copy"))])
def test_read_and_backup_raise_state_busy_after_the_wait(
    folder: Path, tmp_path: Path, work: Callable[[SqliteStore], object]
) -> None:
    with (
        closing(open_store(folder, waiting=Waiting(0, 0))) as store,
        holding(database_of(folder), EXCLUSIVE),
        pytest.raises(StateBusy),
    ):
        read(store) if work is read else store.back_up(tmp_path / "copy")
    assert list(tmp_path.glob("*copy*")) == []


def test_wait_of_zero_still_tries(folder: Path) -> None:
    with closing(open_store(folder, waiting=Waiting(0, 0))) as store:
        assert enrol(store, "b.test") in names(folder)


@pytest.fixture
def attempts(folder: Path) -> Iterator[tuple[SqliteStore, list[str]]]:
    """A store that waits for a short time, and its attempts to commit."""
    store = open_store(folder, waiting=Waiting(write_seconds=0.2))
    made: list[str] = []
    store._database._connection.set_trace_callback(lambda sql: made.append(sql) if sql == "COMMIT" else None)
    yield store, made
    store.close()


def test_change_is_tried_once_after_a_wait_in_vain_until_one_succeeds(
    folder: Path, attempts: tuple[SqliteStore, list[str]]
) -> None:
    """Otherwise each of 128 passes would wait for the whole time, one after the other."""
    store, made = attempts
    with holding(database_of(folder)) as holder:
        for number, expected in enumerate((False, True, True)):
            made.clear()
            with pytest.raises(StateBusy):
                enrol(store, f"{number}.test")
            assert (len(made) == 1) is expected
            # A read that succeeds does not mean that a change would.
            assert read(store)
        holder.release()
        assert enrol(store, "b.test")
    with holding(database_of(folder)):
        made.clear()
        with pytest.raises(StateBusy):
            enrol(store, "c.test")
        assert len(made) > 1


def test_every_thread_ends_after_a_wait_in_vain_and_nothing_is_half_recorded(folder: Path) -> None:
    def work(store: SqliteStore, number: int) -> bool:
        try:
            store.record_finding(store.add_domain(f"{number}.test", (), Source.C4), finding())
        except StateBusy:
            return False
        return True

    with (
        closing(open_store(folder, waiting=Waiting(write_seconds=0.2))) as store,
        ThreadPoolExecutor(20) as pool,
    ):
        with holding(database_of(folder)):
            assert not any(pool.map(partial(work, store), range(20)))
        assert names(folder) == [NAME]
        assert all(pool.map(partial(work, store), range(20)))
    assert len(names(folder)) == 21


def test_closing_ends_the_wait_of_other_threads(folder: Path) -> None:
    waits = threading.Event()
    store = open_store(folder, waiting=Waiting(notice_seconds=0, on_notice=lambda _: waits.set()))
    with holding(database_of(folder)), ThreadPoolExecutor(1) as pool:
        writing = pool.submit(enrol, store, "b.test")
        assert waits.wait(PATIENCE)
        store.close()
        assert isinstance(writing.exception(PATIENCE), StateBusy)
    assert names(folder) == [NAME]


def test_other_errors_are_not_waited_for(folder: Path) -> None:
    assert not waiting_module.is_locked(None)
    with (
        closing(open_store(folder)) as store,
        store._database.transaction() as run,
        pytest.raises(Exception, match="NOT NULL"),
    ):
        run("INSERT INTO domain (name) VALUES (NULL)")
