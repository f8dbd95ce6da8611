"""A claim lasts until it is released or broken, or its owner has ended; without a lock of its owner, until its deadline."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from sslctl.errors import Busy, ClaimLost
from sslctl.rules.claim_names import domain_claim
from sslctl.rules.model import Life, Milestone, Source
from sslctl.store.interface import Store
from sslctl.text import instant
from tests.support.fakes import Clock
from tests.support.store_backends import Backend
from tests.support.store_cases import PATIENCE, claim_and_hold, processes

HOUR = timedelta(hours=1)


@contextmanager
def held_by_another_process(backend: Backend, name: str) -> Iterator[ForkServerProcess]:
    """Run another process that claims `name` for an hour and stays alive."""
    context = processes()
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=claim_and_hold, args=(backend, name, there))
    process.start()
    try:
        assert here.poll(PATIENCE)
        assert here.recv() is True
        yield process
    finally:
        process.kill()
        process.join(PATIENCE)


def write_claim(backend: Backend, name: str, owner: str, clock: Clock) -> None:
    """Write a claim of `owner` for an hour from now."""
    with backend.sql() as sql:
        sql("INSERT INTO lease (name, owner, until) VALUES (?, ?, ?)", (name, owner, instant(clock() + HOUR)))


def claims(backend: Backend) -> dict[str, str]:
    """Return each claim with its deadline."""
    with backend.sql() as sql:
        return dict(sql("SELECT name, until FROM lease", ()))


def test_free_names_are_claimed_and_released(store: Store, backend: Backend) -> None:
    assert store.claim(["a", "b"], HOUR) == {"a", "b"}
    store.release(["a", "never claimed"])
    assert set(claims(backend)) == {"b"}


def test_claim_returns_the_names_that_were_free(store: Store, backend: Backend) -> None:
    with held_by_another_process(backend, "b"):
        assert store.claim(["a", "b", "c"], HOUR) == {"a", "c"}


def test_claiming_again_renews_a_claim(store: Store, backend: Backend, clock: Clock) -> None:
    store.claim(["a"], HOUR)
    clock.move(minutes=30)
    assert store.claim(["a"], HOUR) == {"a"}
    assert claims(backend) == {"a": instant(clock() + HOUR)}


def test_living_owner_keeps_its_claim_after_the_deadline(
    store: Store, backend: Backend, clock: Clock
) -> None:
    with held_by_another_process(backend, "a"):
        clock.move(days=2)
        assert store.claim(["a"], HOUR) == set()


def test_stopped_owner_keeps_its_claim(store: Store, backend: Backend, clock: Clock) -> None:
    with held_by_another_process(backend, "a") as owner:
        assert owner.pid is not None
        os.kill(owner.pid, signal.SIGSTOP)
        clock.move(days=2)
        assert store.claim(["a"], HOUR) == set()


def test_lost_claim_is_noticed(store: Store, backend: Backend, clock: Clock) -> None:
    store.claim(["a"], HOUR)
    store.require_claims(["a"])
    with backend.sql() as sql:
        sql("DELETE FROM lease", ())
    with pytest.raises(ClaimLost):
        store.require_claims(["a"])
    write_claim(backend, "a", "elsewhere.test/1/1", clock)
    with pytest.raises(ClaimLost):
        store.require_claims(["a"])


def test_claims_are_listed_with_their_owners(store: Store, backend: Backend, clock: Clock) -> None:
    store.claim(["b"], HOUR)
    write_claim(backend, "a", "elsewhere.test/7/1", clock)
    with held_by_another_process(backend, "c") as owner:
        pid = owner.pid
        a, b, c = store.claims()
        assert (a.name, a.owner.host, a.owner.pid, a.owner.since, a.life) == (
            "a", "elsewhere.test", 7, None, Life.UNKNOWN,
        )  # fmt: skip
        assert (b.name, b.owner.host, b.owner.pid, b.owner.since, b.life) == (
            "b", socket.gethostname(), os.getpid(), clock(), Life.ALIVE,
        )  # fmt: skip
        assert b.owner.boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        assert b.owner.pid_namespace == str(Path("/proc/self/ns/pid").readlink())
        assert (c.owner.pid, c.life) == (pid, Life.ALIVE)
    assert [claim.life for claim in store.claims()] == [Life.UNKNOWN, Life.ALIVE, Life.DEAD]


def test_claim_is_broken_by_force_if_its_owner_lives(store: Store, backend: Backend) -> None:
    with held_by_another_process(backend, "a") as owner:
        with pytest.raises(Busy, match=f"process {owner.pid} on .* is alive"):
            store.break_claim("a")
        assert set(claims(backend)) == {"a"}
        broken = store.break_claim("a", force=True)
        assert broken is not None
        assert broken.life is Life.ALIVE
    assert claims(backend) == {}
    assert Milestone.CLAIM_BROKEN in store.milestones()
    assert store.break_claim("a") is None


def test_claim_of_a_dead_process_is_broken_without_force(store: Store, backend: Backend) -> None:
    with held_by_another_process(backend, "a"):
        pass
    broken = store.break_claim("a")
    assert broken is not None
    assert broken.life is Life.DEAD


def test_claim_of_a_killed_process_is_free_at_once_for_the_next_process_of_its_machine(
    store: Store, backend: Backend
) -> None:
    for _ in range(2):
        with held_by_another_process(backend, "a"):
            assert [claim.life for claim in store.claims()] == [Life.ALIVE]


def test_broken_claim_on_a_domain_is_an_event(store: Store, backend: Backend, clock: Clock) -> None:
    domain = store.add_domain("a.test", (), Source.C4)
    write_claim(backend, domain_claim("a.test"), "elsewhere.test/7/1", clock)
    store.break_claim(domain_claim("a.test"), force=True)
    assert store.events(domain)[-1].kind == "claim broken"


def test_claim_is_void_after_its_handle_was_closed(store: Store, backend: Backend) -> None:
    other = backend.open()
    other.claim(["a"], HOUR)
    other.close()
    with held_by_another_process(backend, "a"):
        assert store.claim(["a"], HOUR) == set()


def test_claim_of_another_process_is_not_released(store: Store, backend: Backend) -> None:
    with held_by_another_process(backend, "a"):
        store.release(["a"])
        assert store.claim(["a"], HOUR) == set()


def test_claim_of_a_killed_process_is_free_at_once(store: Store, backend: Backend) -> None:
    with held_by_another_process(backend, "a") as owner:
        assert store.claim(["a"], HOUR) == set()
        owner.kill()
        owner.join(PATIENCE)
        assert store.claim(["a"], HOUR) == {"a"}


def test_claim_of_a_zombie_process_is_free(store: Store, backend: Backend, clock: Clock) -> None:
    """A zombie keeps its entry in /proc; in a container without an init possibly for ever."""
    with subprocess.Popen(["sleep", str(PATIENCE)]) as child:
        write_claim(backend, "a", f"{socket.gethostname()}/{child.pid}/{_stat(child.pid)[19]}", clock)
        assert store.claim(["a"], HOUR) == set()
        child.kill()
        deadline = time.monotonic() + PATIENCE
        while _stat(child.pid)[0] != "Z":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert store.claim(["a"], HOUR) == {"a"}


def _stat(process: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third on, the state (proc(5))."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def test_claim_of_another_host_lasts_until_its_deadline(store: Store, backend: Backend, clock: Clock) -> None:
    write_claim(backend, "a", "elsewhere.test/1/1", clock)
    assert store.claim(["a"], HOUR) == set()
    clock.move(hours=1)
    assert store.claim(["a"], HOUR) == {"a"}


def test_later_process_with_the_same_number_is_not_the_owner(
    store: Store, backend: Backend, clock: Clock
) -> None:
    write_claim(backend, "a", f"{socket.gethostname()}/{os.getpid()}/1", clock)
    assert store.claim(["a"], HOUR) == {"a"}


def test_interrupted_claim_claims_nothing(store: Store, backend: Backend) -> None:
    def names() -> Iterator[str]:
        yield "a"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.claim(names(), HOUR)
    assert claims(backend) == {}
