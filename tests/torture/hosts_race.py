"""Ticks of several hosts that race for the same domains, in one PostgreSQL database.

Most cases have a fake CA in each process, so that a thousand domains take seconds; the reference C4, its HTTPS and DNS are real. The last
case has real certbot and a real CA.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Self

from sslctl.errors import Exit
from sslctl.fleet import enrolment
from sslctl.rules.claim_names import domain_claim
from sslctl.rules.reasons import Status
from sslctl.rules.status import derive_status
from sslctl.store.interface import Store
from sslctl.store.interface.domains import Query
from tests.support.cdn import Cdn
from tests.support.fakes import START, Clock
from tests.support.postgres import cluster
from tests.support.postgres_backend import new_state
from tests.support.store_cases import processes
from tests.torture import invariants
from tests.torture.case import Case, describe_exit_codes
from tests.torture.environment import SYNCHRONIZED
from tests.torture.kill import prepare
from tests.torture.racing_tick import Raced, race
from tests.torture.shared_state import SharedEnvironment

TITLE = "Hosts that race"
TARGET = "one order a domain, limits never exceeded by all hosts together, one message about a trouble, one whole history"

_PATIENCE = 600.0
_ORDERS = 300
_WINDOW = timedelta(hours=3)
_MOST_RENEWALS = 200
_DUE_AFTER = timedelta(days=83)
_MOST_ROUNDS = 12
_BROKEN = 8
_DELAY = 0.5
_WORKERS = 8
# Longer than half a lease, and than the server waits for a frozen transaction.
_FROZEN_SECONDS = 35
# The server ends a transaction that is frozen, and what needed it.
_FROZEN_ENDS = (Exit.OK, Exit.SOME_NOT_WELL, Exit.UNUSABLE, Exit.TRY_LATER)
_SLOWNESS = 0.4
_CLAIM_LOST = "this process lost its claim on"
_LEASE_ENDED = "this process cannot prove to other machines that it lives"
_GIVEN_UP = (
    "SELECT names, count(*) FROM acme_order WHERE url IS NULL AND outcome = 'came to nothing' GROUP BY names"
)
_OPEN = "SELECT d.name FROM acme_order AS o JOIN domain AS d ON d.id = o.domain_id WHERE o.closed_at IS NULL AND o.url IS NULL"
_CLAIMS = "SELECT name FROM lease WHERE (owner::json ->> 'pid')::int = ?"
_END_LEASE = """UPDATE process SET seen_at = seen_at - interval '61 seconds'
    WHERE id IN (SELECT owner::json ->> 'lock' FROM lease WHERE (owner::json ->> 'pid')::int = ?) RETURNING id"""


class Race:
    """Hosts with `number` domains that are due, and what was found so far. Use as a context manager.

    `settings` are more lines of the configuration.
    """

    def __init__(self, folder: Path, hosts: int, number: int, settings: str = "") -> None:
        folder.mkdir()
        self.clock = Clock()
        self.codes = Counter[int]()
        self.orders = Counter[str]()
        self.shares = list[int]()
        self.violations = list[str]()
        self.claims_lost = 0
        self.frozen = 0
        self.names = [f"{each}.example{each}.com" for each in range(number)]
        self._hosts = hosts
        self._settings = settings
        self._stack = ExitStack()
        self._folder = folder
        self._serials = list[str]()

    def __enter__(self) -> Self:
        self._state = new_state(self._folder / "state")
        self._stack.callback(self._state.discard)
        self.cdn = self._stack.enter_context(Cdn(self._folder, self.clock, state_url=self._state.url))
        text = self.cdn.config_path.read_text() + self._settings
        # A thousand passes on a busy machine must not be taken for a C4 and a DNS server that do not answer.
        text = re.sub("timeout_seconds = [0-9]+", "timeout_seconds = 60", text).replace(
            "workers = 4", f"workers = {_WORKERS}"
        )
        self._configs = [self._folder / f"{host}.toml" for host in range(self._hosts)]
        for host, config in enumerate(self._configs):
            place = self._folder / f"host-{host}"
            place.mkdir(mode=0o700)
            shutil.copy(self._folder / "state" / "master.key", place / "master.key")
            config.write_text(text.replace(f'dir = "{self._folder}/state"', f'dir = "{place}"'))
        self._outside = invariants.Outside(lambda: self._serials, lambda: self.orders, self.cdn.installed)
        for name in self.names:
            self.cdn.add_domain(name)
        with closing(self.store()) as store:
            enrolment.enrol_many(store, self.names, self.clock())
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def store(self) -> Store:
        """Open the store."""
        return self._state.open(self.clock, actor="torture")

    def run(self, turn: int, allowed: Sequence[int] = (Exit.OK,), *, freezes: int = 0) -> list[Raced]:
        """Run a tick on each host, which must end with one of the `allowed` exit codes.

        In every other `turn` they start at the same moment, otherwise one after the other, and so with different plans. `freezes` times one of
        them is frozen for longer than its lease, while it waits for a slow CA.
        """
        delay = turn % 2 * _DELAY
        context = processes()
        start, results = context.Barrier(self._hosts), context.Queue()
        slowness = _SLOWNESS if freezes else 0
        running = [
            context.Process(
                target=race, args=(config, self.clock(), host * delay, start, results, slowness), daemon=True
            )
            for host, config in enumerate(self._configs)
        ]
        for process in running:
            process.start()
        for number in range(freezes):
            self._freeze(running[(turn + number) % self._hosts])
        raced: list[Raced] = [results.get(timeout=_PATIENCE) for _ in running]
        for process in running:
            process.join(_PATIENCE)
        for each in raced:
            self.codes[each.code] += 1
            self.orders += each.orders
            self._serials += each.serials
            self.claims_lost += each.stderr.count(_CLAIM_LOST) + each.stderr.count(_LEASE_ENDED)
            if each.code not in allowed:
                self.violations.append(f"I8: a tick ended with {each.code}: {each.stderr}")
        self.shares.append(min(each.orders.total() for each in raced))
        return raced

    def _freeze(self, process: BaseProcess) -> None:
        """Freeze a tick that has open orders until it cannot prove any more that it lives; by the database a minute passes meanwhile."""
        assert process.pid is not None
        deadline = time.monotonic() + _PATIENCE
        while not self._is_ordering(process.pid):
            if not process.is_alive() or time.monotonic() > deadline:
                return
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGSTOP)
        self.frozen += 1
        try:
            self._query(_END_LEASE, (process.pid,))
            time.sleep(_FROZEN_SECONDS)
        finally:
            os.kill(process.pid, signal.SIGCONT)

    def _is_ordering(self, pid: int) -> bool:
        claimed = {name for (name,) in self._query(_CLAIMS, (pid,))}
        return any(domain_claim(name) in claimed for (name,) in self._query(_OPEN))

    def _query(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        with self._state.sql() as sql:
            return list(sql(statement, values))

    def given_up(self) -> Counter[str]:
        """Return how many orders of each name were given up because their URL was never stored, as the database has it."""
        return Counter({json.loads(str(names))[0]: int(count) for names, count in self._query(_GIVEN_UP)})

    def left(self) -> int:
        """Return how many domains are not in Success."""
        now = self.clock()
        with closing(self.store()) as store:
            return sum(
                derive_status(each, now).status is not Status.SUCCESS for each in store.domains(Query(), now)
            )

    def check(self, orders: int = 1, healthy: Collection[str] | None = None) -> None:
        """Check the invariants; each domain may have cost `orders` orders, and so many uploads.

        An order whose URL was never stored, because its host lost its claim, may have cost another one.
        """
        with closing(self.store()) as store:
            self.violations += invariants.of_store(
                store, self._outside, self.clock(), healthy=healthy, acknowledged=self.names
            )
            broken = store.verify_history().broken
        if broken:
            self.violations.append(f"I3: the history is not whole: {broken}")
        given_up = self.given_up()
        self.violations += invariants.superfluous(self._outside, lambda name: orders + given_up[name])
        if given_up and not self.claims_lost:
            self.violations.append(f"I2: no host lost a claim, and these orders were given up: {given_up}")
        puts = Counter(request.path for request in self.cdn.c4.requests if request.method == "PUT")
        self.violations += [
            f"I6: {path} was uploaded {count} times" for path, count in puts.items() if count > orders
        ]

    def case(self, fault: str, tries: int, found: str) -> Case:
        """Return the results as a case."""
        return Case(fault, tries, self.violations, f"{found}; {describe_exit_codes(self.codes)}")


def run(folder: Path, *, small: bool) -> Iterator[Case]:
    number = 60 if small else 1000
    for hosts, rounds in ((2, 1),) if small else ((2, 16), (4, 4)):
        yield _new_domains(folder, hosts, number, rounds)
    yield _frozen(folder, 60, rounds=1 if small else 6, most=1 if small else 2)
    yield from _limits(folder, number)
    yield _messages(folder, 40 if small else 400)
    yield _real(folder / "real", 30 if small else 130, rounds=1 if small else 3)


def _new_domains(folder: Path, hosts: int, number: int, rounds: int) -> Case:
    codes, violations, shares = Counter[int](), list[str](), list[int]()
    for turn in range(rounds):
        with Race(folder / f"new-{hosts}-{turn}", hosts, number) as each:
            each.run(turn)
            each.check()
        codes += each.codes
        shares += each.shares
        violations += [f"round {turn}: {violation}" for violation in each.violations]
    found = (
        f"the smallest share of a host: {min(shares)} to {max(shares)} orders; {describe_exit_codes(codes)}"
    )
    return Case(f"{hosts} hosts at once, {number:,} new domains", rounds, violations, found)


def _frozen(folder: Path, number: int, rounds: int, most: int) -> Case:
    """Freeze one of two hosts, and with `most` 2 then the other one if it still orders. A freeze may cost an order for each that is under way."""
    codes, violations, freezes, excess = Counter[int](), list[str](), 0, 0
    for turn in range(rounds):
        with Race(folder / f"frozen-{turn}", 2, number) as each:
            each.run(turn, _FROZEN_ENDS, freezes=most)
            each.run(turn)
            each.check()
        superfluous = each.orders.total() - number
        if superfluous > each.frozen * _WORKERS:
            each.violations.append(f"I2: {superfluous} excess orders of {each.frozen} frozen hosts")
        freezes += each.frozen
        excess += superfluous
        codes += each.codes
        violations += [f"round {turn}: {violation}" for violation in each.violations]
    found = f"{excess} excess orders of {number * rounds:,} domains; {describe_exit_codes(codes)}"
    fault = f"2 hosts, {number} new domains, a host is frozen for longer than its lease"
    return Case(fault, freezes, violations, found)


def _limits(folder: Path, number: int) -> Iterator[Case]:
    """Race within limits that are smaller than the fleet: those of the CA, and then `renewal.max_per_day`."""
    most, most_renewals = _ORDERS * number // 1000, _MOST_RENEWALS * number // 1000
    settings = f"""
            [limits]
            orders = "{most}/3h"
            [renewal]
            max_per_day = {most_renewals}
            """
    with Race(folder / "limits", 2, number, settings) as each:
        placed = list[int]()
        while each.left() and len(placed) < _MOST_ROUNDS:
            # Held domains are Pending, which ends a tick with 5.
            raced = each.run(len(placed), (Exit.OK, Exit.SOME_NOT_WELL))
            placed.append(sum(one.orders.total() for one in raced))
            each.check(healthy=())
            each.clock.move(seconds=_WINDOW.total_seconds() + 1)
        each.violations += [
            f"{one} orders in {_WINDOW}, at most {most} are allowed" for one in placed if one > most
        ]
        each.check()
        yield each.case(
            f"2 hosts, {number:,} new domains, {most} orders allowed in 3 hours",
            len(placed),
            f"orders: {placed}",
        )

        each.clock.at, each.codes, each.violations = START + _DUE_AFTER, Counter(), []
        before, renewed = each.orders.total(), list[int]()
        while sum(renewed) < number and len(renewed) < _MOST_ROUNDS:
            renewed.append(sum(one.orders.total() for one in each.run(len(renewed))))
            each.check(2)
            each.clock.move(days=1)
        each.violations += [
            f"{one} renewals in a day, at most {most_renewals} are allowed"
            for one in renewed
            if one > most_renewals
        ]
        if each.orders.total() - before < number:
            each.violations.append(f"I7: {sum(renewed)} of {number} were renewed")
        yield each.case(
            f"2 hosts, {number:,} renewals that are due, max_per_day = {most_renewals}",
            len(renewed),
            f"renewals: {renewed}",
        )


def _messages(folder: Path, number: int) -> Case:
    """Race twice for domains of which a few fail: there is one message, which names them, and none again."""
    settings = """
            [notify]
            statuses = ["Failure", "Emergency", "Expired"]
            """
    with Race(folder / "messages", 2, number, settings) as each:
        broken = each.names[:: number // _BROKEN][:_BROKEN]
        for name in broken:
            each.cdn.clear_dns(name)
            each.cdn.point(name, "parked.elsewhere.test")
        messages = list[str]()
        for turn in range(3):
            raced = each.run(turn, (Exit.OK, Exit.SOME_NOT_WELL))
            sent = [message for one in raced for message in one.messages]
            messages += sent
            each.check(healthy=set(each.names) - set(broken))
            each.clock.move(minutes=5)
            if len(sent) > 1:
                each.violations.append(f"round {turn}: {len(sent)} messages: {sent}")
        unheard = [name for name in broken if not any(f"{name}" in message for message in messages)]
        each.violations += [f"I12: no message names {name}" for name in unheard]
        if len(messages) > 2:
            each.violations.append(f"{len(messages)} messages: {messages}")
        return each.case(f"2 hosts, {_BROKEN} of {number} domains fail", 3, f"{len(messages)} messages")


def _real(folder: Path, number: int, rounds: int) -> Case:
    codes, violations = Counter[int](), list[str]()
    with SharedEnvironment(folder, cluster()) as environment:
        for turn in range(rounds):
            state = environment.state()
            names = prepare(state, number)
            gate, opener = os.pipe()
            with os.fdopen(gate, "rb"), os.fdopen(opener, "wb"):
                running = []
                for _ in state.places:
                    running.append(state.start("daemon-tick", through=SYNCHRONIZED, gate=gate))
                    state.change_host()
                for process in running:
                    process.await_gate()
            ended = [process.end() for process in running]
            codes.update(each.code for each in ended)
            found = state.violations(acknowledged=names) + state.unfinished()
            found += [
                f"I8: a tick ended with {each.code}: {each.stderr}" for each in ended if each.code != Exit.OK
            ]
            violations += [f"round {turn}: {violation}" for violation in found]
    fault = f"2 hosts at once, {number} new domains, with certbot and Pebble"
    return Case(fault, rounds, violations, describe_exit_codes(codes))
