"""The first of two real CAs hangs, or closes all connections, in the middle of a batch, and comes back; sslctl may be killed meanwhile."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.torture.case import Case
from tests.torture.environment import Environment, Process, State

TITLE = "The first of two CAs fails in the middle of a batch"
TARGET = "every domain in Success, 0 orders lost, 0 certificates in duplicate, and the first CA again at the next renewal"

_POLL_SECONDS = 0.02
_LONGEST_BATCH = 240
_ROUNDS = 4
_VERSIONS = "SELECT name, ca FROM certificate JOIN domain ON domain.id = domain_id ORDER BY certificate.id"


@dataclass
class _Found:
    """What came of some batches."""

    issued: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    violations: list[str] = field(default_factory=list)


def run(folder: Path, *, small: bool) -> Iterator[Case]:
    with Environment(folder / "1", has_other_ca=True, validation_seconds=0 if small else 4) as environment:
        if not small:
            yield _case(environment, "the first CA hangs (SIGSTOP)", 200, 1, hangs=True)
        yield _case(
            environment, "the first CA closes all connections", 10 if small else 200, 1 if small else 3
        )
        fault = "the first CA closes all connections, and sslctl is killed"
        yield _case(environment, fault, 6 if small else 60, 1 if small else 20, kills_sslctl=True)


def _case(
    environment: Environment,
    fault: str,
    number: int,
    tries: int,
    *,
    hangs: bool = False,
    kills_sslctl: bool = False,
) -> Case:
    found = _Found()
    for seed in range(tries):
        batch = _Batch(environment, number, Random(seed))
        with batch.failing_ca(hangs=hangs):
            found.kills += batch.run_while_it_fails(kills_sslctl=kills_sslctl)
        batch.recover()
        batch.check(found)
        batch.renew(found)
    cas = ", ".join(f"{count} certificates from {which}" for which, count in sorted(found.issued.items()))
    kills = f"; {found.kills} kills" if kills_sslctl else ""
    return Case(fault, tries, found.violations, f"batches of {number} domains: {cas}{kills}")


class _Batch:
    """A tick over `number` new domains, during which the first CA fails at a random moment."""

    def __init__(self, environment: Environment, number: int, chance: Random) -> None:
        self._environment = environment
        self._state: State = environment.state()
        # Few at once: then some orders are not placed yet when the CA fails, and some are at every step.
        self._state.settings["SSLCTL_ACME_WORKERS"] = str(max(2, number // 10))
        self._chance = chance
        self._names = self._state.customers(number)
        self._state.record(self._names)
        # One at each CA.
        self._state.most_orders.update(2 * self._names)
        self._tick: Process

    @contextmanager
    def failing_ca(self, *, hangs: bool) -> Iterator[None]:
        """Start the tick, and let the first CA fail in the middle of it until the end of the block."""
        ca = self._environment.first_ca
        self._tick = self._state.start("daemon-tick")
        self._await_issued(self._chance.randint(1, len(self._names) // 3))
        if hangs:
            os.kill(ca.pebble.process_ids[-1], signal.SIGSTOP)
        ca.is_down = not hangs
        try:
            yield
        finally:
            ca.is_down = False
            if hangs:
                os.kill(ca.pebble.process_ids[-1], signal.SIGCONT)

    def run_while_it_fails(self, *, kills_sslctl: bool) -> int:
        """End or kill the tick, and go on without the first CA; return how often sslctl was killed."""
        kills = 0
        if kills_sslctl:
            kills += self._tick.kill_after(self._chance.uniform(0, 0.5))
            kills += self._state.start("daemon-tick").kill_after(self._chance.uniform(0, 4))
            self._state.most_orders.update(kills * self._names)
        else:
            self._tick.end()
        self._state.run("daemon-tick")
        self._state.run("recheck")
        return kills

    def recover(self) -> None:
        """Go on with both CAs."""
        for _ in range(_ROUNDS):
            self._state.run("pauses", "lift", "all")
            self._state.run("recheck")

    def check(self, found: _Found) -> None:
        """Check that each domain has one certificate, and the invariants."""
        versions = self._versions()
        numbers = Counter(name for name, _ in versions)
        found.violations += self._state.violations()
        found.violations += [
            f"I2: {name} has {numbers[name]} certificates" for name in self._names if numbers[name] != 1
        ]
        first = self._state.cas[0]
        found.issued.update("the first CA" if ca == first else "the other one" for _, ca in versions)

    def renew(self, found: _Found) -> None:
        """Check that the next renewals come from the first CA."""
        renewed, known = self._names[:10], len(self._versions())
        self._state.most_orders.update(renewed)
        ended = self._state.run("recheck", "--force-renew", "--yes", *renewed)
        new = Counter(ca for _, ca in self._versions()[known:])
        if ended.code or new != Counter({self._state.cas[0]: len(renewed)}):
            found.violations.append(f"the renewals are {new}: {ended.code} {ended.stderr}")

    def _versions(self) -> list[tuple[str, str]]:
        """Return the name of each certificate, in the order of their storage, and its CA."""
        return [(name, ca) for name, ca in self._state.rows(_VERSIONS)]

    def _await_issued(self, number: int) -> None:
        until = time.monotonic() + _LONGEST_BATCH
        while len(self._versions()) < number and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
