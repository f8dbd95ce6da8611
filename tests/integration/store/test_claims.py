"""A claim keeps others off a domain until it is released, its deadline is over, or its owner is gone."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from sslctl.store.sql.claims import is_gone, this_process
from sslctl.store.sqlite.store import SqliteStore
from sslctl.text import instant
from tests.support.fakes import Clock
from tests.support.store_cases import PATIENCE, claim_and_hold, database_of, look_into, processes

HOUR = timedelta(hours=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the fixture `store`."""
    return tmp_path / "state"


@contextmanager
def held_by_another_process(folder: Path, name: str) -> Iterator[ForkServerProcess]:
    """Have another process claim `name` for an hour and live on."""
    context = processes()
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=claim_and_hold, args=(folder, name, there))
    process.start()
    try:
        assert here.poll(PATIENCE)
        assert here.recv() is True
        yield process
    finally:
        process.kill()
        process.join(PATIENCE)


def write_claim(folder: Path, name: str, owner: str, clock: Clock) -> None:
    """Write the claim of `owner`, for an hour from now."""
    with look_into(database_of(folder)) as connection:
        connection.execute("INSERT INTO lease VALUES (?, ?, ?)", (name, owner, instant(clock() + HOUR)))


def claims(folder: Path) -> dict[str, str]:
    """Give each claim with its deadline."""
    with look_into(database_of(folder)) as connection:
        return dict(connection.execute("SELECT name, until FROM lease"))


def test_what_is_free_is_claimed_and_what_is_released_is_free(store: SqliteStore, folder: Path) -> None:
    assert store.claim(["a", "b"], HOUR) == {"a", "b"}
    store.release(["a", "never claimed"])
    assert set(claims(folder)) == {"b"}


def test_of_several_names_those_are_given_that_were_free(store: SqliteStore, folder: Path) -> None:
    with held_by_another_process(folder, "b"):
        assert store.claim(["a", "b", "c"], HOUR) == {"a", "c"}


def test_claimed_again_by_the_same_process_a_claim_is_prolonged(
    store: SqliteStore, folder: Path, clock: Clock
) -> None:
    store.claim(["a"], HOUR)
    clock.move(minutes=30)
    assert store.claim(["a"], HOUR) == {"a"}
    assert claims(folder) == {"a": instant(clock() + HOUR)}


def test_a_living_owner_keeps_its_claim_until_the_deadline_and_not_longer(
    store: SqliteStore, folder: Path, clock: Clock
) -> None:
    with held_by_another_process(folder, "a") as owner:
        clock.move(seconds=3599)
        assert store.claim(["a"], HOUR) == set()
        clock.move(seconds=1)
        assert store.claim(["a"], HOUR) == {"a"}
        assert owner.is_alive()


def test_the_claim_of_somebody_else_is_not_released(store: SqliteStore, folder: Path) -> None:
    with held_by_another_process(folder, "a"):
        store.release(["a"])
        assert store.claim(["a"], HOUR) == set()


def test_the_claim_of_a_killed_process_is_free_at_once(store: SqliteStore, folder: Path) -> None:
    with held_by_another_process(folder, "a") as owner:
        assert store.claim(["a"], HOUR) == set()
        owner.kill()
        owner.join(PATIENCE)
        assert store.claim(["a"], HOUR) == {"a"}


def test_the_claim_of_a_dead_process_that_nobody_waits_for_is_free(
    store: SqliteStore, folder: Path, clock: Clock
) -> None:
    """A zombie still has its entry in /proc, and in a container without an init may have it for ever."""
    with subprocess.Popen(["sleep", str(PATIENCE)]) as child:
        write_claim(folder, "a", f"{socket.gethostname()}/{child.pid}/{_stat(child.pid)[19]}", clock)
        assert store.claim(["a"], HOUR) == set()
        child.kill()
        deadline = time.monotonic() + PATIENCE
        while _stat(child.pid)[0] != "Z":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert store.claim(["a"], HOUR) == {"a"}


def _stat(process: int) -> list[str]:
    """Give the fields of /proc/PID/stat from the third on, the state (proc(5))."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def test_the_owner_of_another_host_is_respected_until_its_deadline(
    store: SqliteStore, folder: Path, clock: Clock
) -> None:
    write_claim(folder, "a", "elsewhere.test/1/1", clock)
    assert store.claim(["a"], HOUR) == set()
    clock.move(hours=1)
    assert store.claim(["a"], HOUR) == {"a"}


def test_a_later_process_with_the_same_number_is_not_the_owner(
    store: SqliteStore, folder: Path, clock: Clock
) -> None:
    write_claim(folder, "a", f"{socket.gethostname()}/{os.getpid()}/1", clock)
    assert store.claim(["a"], HOUR) == {"a"}


@pytest.mark.parametrize(
    ("owner", "gone"),
    [
        (this_process(), False),
        ("elsewhere.test/1/1", False),
        (f"{socket.gethostname()}/4194305/1", True),  # above the greatest process id, 2**22 (proc(5))
        (f"{socket.gethostname()}/nonsense/1", True),
        (f"{socket.gethostname()}//", True),
    ],
    ids=["this process", "another host", "no such process", "no process", "no number"],
)
def test_who_is_gone(owner: str, *, gone: bool) -> None:
    assert is_gone(owner) is gone


def test_a_claim_that_is_interrupted_claims_nothing(store: SqliteStore, folder: Path) -> None:
    def names() -> Iterator[str]:
        yield "a"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.claim(names(), HOUR)
    assert claims(folder) == {}
