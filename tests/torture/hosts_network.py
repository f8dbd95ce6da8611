"""One host of three is cut off in the middle of a tick, or has a wrong clock; the others go on. Real certbot, and a real PostgreSQL.

Packets are dropped without a word to either side, and later pass again. While a host is cut off, another one runs ticks. Afterwards the
next tick, of any host, must recover everything; if it does not, a `recheck` takes the place of the tick after it, which saves the minute
until the retry. A cut is like a crash: for each name one excess order is allowed.
"""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from queue import Empty, SimpleQueue
from random import Random
from typing import Any

from sslctl.app import utc_now
from sslctl.errors import Exit
from sslctl.store.keyring import Keyring
from sslctl.store.postgres.store import PostgresStore
from tests.support.network import missing
from tests.support.several_hosts import DATABASE_PORT, NAMES, STATE_FOLDER, SeveralHosts, ended, port_of
from tests.torture import invariants
from tests.torture.case import Case, describe_exit_codes
from tests.torture.environment import State, _connect

TITLE = "Networks and clocks of three hosts"
TARGET = "0 violations, 0 lost certificates, at most 1 excess order a name and cut; what is cut off ends in time; recovery within 2 ticks"

_DOMAINS = 3
_WORLDS = 4
# So long after the cut a tick has ended: a connection is given up after 25 seconds, and a new one after 10 (docs/several-hosts.md),
# both of which may come twice, in the pass and at the end of the tick. The CA and C4 have longer limits.
_ENDS_WITHIN = {"the database": 90, "everything": 120, "the CA": 240, "C4": 240}
_PAUSE_SECONDS = 4
# With these the small slice need not wait.
_HASTE = "&connect_timeout=2&keepalives_idle=1&keepalives_interval=1&tcp_user_timeout=2500"


@dataclass(frozen=True, slots=True)
class _Fault:
    """A cut of one host from `what`, for so many `seconds`."""

    what: str
    seconds: float

    def __str__(self) -> str:
        length = f"{self.seconds / 60:.0f} minutes" if self.seconds >= 60 else f"{self.seconds:.0f} s"
        return f"cut from {self.what} for {length} at a random moment of a tick"


@dataclass(slots=True)
class _Came:
    """What came of some cuts."""

    violations: list[str] = field(default_factory=list)
    codes: Counter[int] = field(default_factory=Counter)
    commands: Counter[int] = field(default_factory=Counter)
    excess: int = 0
    longest: float = 0
    tries: int = 0

    def add(self, other: _Came) -> None:
        """Count `other`, too."""
        self.violations += other.violations
        self.codes += other.codes
        self.commands += other.commands
        self.excess += other.excess
        self.longest = max(self.longest, other.longest)
        self.tries += other.tries

    def case(self, fault: str) -> Case:
        """Return this as a case."""
        most = max(self.commands, default=0)
        found = (
            f"what was cut off ended after at most {self.longest:.0f} s, {describe_exit_codes(self.codes)};"
            f" recovered after at most {most} {'tick' if most == 1 else 'ticks'}; {self.excess} excess orders"
        )
        return Case(fault, self.tries, self.violations, found)


class _Fleet(State):
    """The state of three hosts, with what the CA and C4 know of its domains."""

    def __init__(self, hosts: SeveralHosts, *, haste: bool) -> None:
        super().__init__(hosts.cdn, hosts.place("a", STATE_FOLDER), hosts.cdn.pebble)
        self.hosts = hosts
        if haste:
            hosts.add_to_url(_HASTE)
        self.length = 0.0

    def measure(self) -> None:
        """Find out how long a tick with work takes."""
        self.due()
        began = time.monotonic()
        self.hosts.run("a", ["daemon-tick"])
        self.length = time.monotonic() - began

    def due(self) -> list[str]:
        """Record new domains, each of which may cost an order; return their names."""
        names = self.customers(_DOMAINS)
        self.most_orders.update(names)
        added = self.hosts.run("c", ["add", *names, "--no-wait"])
        assert added.code == Exit.OK, added
        return names

    def cut(self, host: str, what: str) -> None:
        """Cut `host` off from `what`."""
        cdn = self.hosts.cdn
        ports = {
            "the database": DATABASE_PORT,
            "the CA": port_of(cdn.pebble.directory_url),
            "C4": port_of(cdn.c4.url),
            "everything": None,
        }
        self.hosts.hosts[host].cut(ports[what])

    def check(self) -> list[str]:
        """Return which invariants do not hold. No process may be working on the state."""
        found = [each for host in NAMES for each in invariants.readable(self.hosts.place(host, STATE_FOLDER))]
        store = PostgresStore(
            self.hosts.url_of_administrator, Keyring(self.folder / "master.key"), clock=utc_now,
            actor="checker (torture)", lock_folder=self.folder / "processes",
        )  # fmt: skip
        with closing(store):
            found += invariants.of_store(store, self._outside, utc_now(), healthy=None, acknowledged=())
            broken = store.verify_history().broken
        if broken:
            found.append(f"I3: the history is not whole: {broken}")
        found += invariants.superfluous(self._outside, lambda name: self.most_orders[name])
        return [*found, *self.unfinished()]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """See `State.rows`."""
        return self.hosts.sql(sql)

    @cached_property
    def _accounts(self) -> list[Any]:
        (ca,) = self._cas
        pattern = f"*/var-lib/sslctl/acme/accounts/{ca.directory_url.partition('://')[2]}/*/regr.json"
        return [(ca, _connect(ca, path)) for path in self.hosts.folder.glob(pattern)]


def _cut_off(fleet: _Fleet, fault: _Fault, seed: int) -> _Came:
    """Cut one host off in the middle of a tick, mend that, let the next ticks recover, and check."""
    chance, hosts = Random(f"{fault} {seed}"), fleet.hosts
    names = fleet.due()
    victim, other = chance.sample(NAMES, 2)
    tick = hosts.start(victim, ["daemon-tick"])
    time.sleep(chance.uniform(0.2, fleet.length))
    fleet.cut(victim, fault.what)
    came = _Came(tries=1)
    with ThreadPoolExecutor(1) as pool:
        end = pool.submit(_await_end, tick, fault, came)
        came.violations += _ticks_beside(fleet, other, time.monotonic() + fault.seconds)
        hosts.hosts[victim].mend()
        came.violations += end.result()
    for name in names:
        fleet.most_orders[name] += 1
    needed = sum(fleet.most_orders[name] - 1 for name in names)
    hosts.end_leases()
    came.violations += _recover(fleet, chance.choice(NAMES), names, came)
    came.excess = max(0, sum(fleet.orders().get(name, 0) for name in names) - needed)
    came.violations = [f"seed {seed}: {each}" for each in came.violations]
    return came


def _ticks_beside(fleet: _Fleet, host: str, end: float) -> Iterator[str]:
    """Run ticks on `host` until `end`, a little more often than cron does; yield a sentence for each with a bad end."""
    while time.monotonic() < end:
        beside = fleet.hosts.run(host, ["daemon-tick"])
        if beside.code not in (Exit.OK, Exit.SOME_NOT_WELL, Exit.PENDING, Exit.TRY_LATER):
            yield f"I8: a tick beside the cut host ended with {beside.code}: {beside.stderr}"
        time.sleep(max(0.0, min(_PAUSE_SECONDS, end - time.monotonic())))


def _await_end(tick: subprocess.Popen[str], fault: _Fault, came: _Came) -> list[str]:
    """Wait until the tick that was cut off ends; return what is wrong with its end."""
    began, limit = time.monotonic(), _ENDS_WITHIN[fault.what]
    try:
        end = ended(tick, limit)
    except subprocess.TimeoutExpired:
        return [f"I8: the tick that was cut off had not ended {limit} s later"]
    came.longest = time.monotonic() - began
    came.codes[end.code] += 1
    if end.code in (Exit.BUG, Exit.USAGE):
        return [f"I8: the tick that was cut off ended with {end.code}: {end.stderr}"]
    return []


def _recover(fleet: _Fleet, host: str, names: Sequence[str], came: _Came) -> Iterator[str]:
    """Run a tick, and a `recheck` if that was not enough; yield what is left then."""
    found: list[str] = []
    for number, command in enumerate((["daemon-tick"], ["recheck", *names]), 1):
        done = fleet.hosts.run(host, command)
        found = fleet.check()
        if done.code:
            found.append(f"I8: {command[0]} on {host} ended with {done.code}: {done.stderr}{done.stdout}")
        if not found:
            came.commands[number] += 1
            return
    yield from found


def _wrong_clock(fleet: _Fleet, days: int) -> list[str]:
    """Run a tick on a host whose clock is `days` off; return what it did."""
    names = fleet.due()
    orders = fleet.orders()
    refused = fleet.hosts.run("b", f"faketime -f {days:+}d sslctl daemon-tick")
    found = []
    if refused.code != Exit.TRY_LATER or "that of the database, so nothing was done" not in refused.stderr:
        found.append(f"I8: a tick whose clock is {days} days off ended with {refused.code}: {refused.stderr}")
    if fleet.orders() != orders:
        found.append(f"I2: a tick whose clock is {days} days off placed orders")
    return [*found, *_recover(fleet, "c", names, _Came())]


def _slow_clock(fleet: _Fleet, minutes: int) -> list[str]:
    """Run ticks at the same time on a host whose clock is `minutes` off, and on two with a right one; return what went wrong."""
    names = fleet.due()
    late = f"faketime -f {minutes:+}m sslctl daemon-tick --json"
    ticks = [
        fleet.hosts.start(host, command)
        for host, command in (("a", ["daemon-tick"]), ("b", late), ("c", ["daemon-tick"]))
    ]
    ends = [ended(tick) for tick in ticks]
    found = [f"I8: a tick ended with {end.code}: {end.stderr}{end.stdout}" for end in ends if end.code]
    if not ends[1].code and f"{abs(minutes)} minutes" not in (ends[1].json["clock_trouble"] or ""):
        found.append(f"I8: no warning of a clock {minutes} minutes off: {ends[1].stdout}")
    return [*found, *fleet.check()] or list(_recover(fleet, "b", names, _Came()))


_CLOCKS = {
    "a clock 2 days ahead": (
        _wrong_clock,
        2,
        "its ticks were refused with 75 and ordered nothing; another host did the work",
    ),
    "a clock 2 days behind": (
        _wrong_clock,
        -2,
        "its ticks were refused with 75 and ordered nothing; another host did the work",
    ),
    "a clock 10 minutes ahead, with ticks of three hosts at once": (_slow_clock, 10, "it works, and warns"),
    "a clock 10 minutes behind, with ticks of three hosts at once": (_slow_clock, -10, "it works, and warns"),
}
_LONG = 600
_CUTS = {
    **{
        _Fault(what, 30): tries
        for what, tries in (("the database", 12), ("everything", 8), ("the CA", 6), ("C4", 6))
    },
    **{_Fault(what, _LONG): 2 for what in ("the database", "everything")},
}
_SMALL_CUTS = {_Fault("the database", 4): 1, _Fault("everything", 4): 1}


def run(folder: Path, *, small: bool) -> Iterator[Case]:
    """Cut hosts off, in several worlds at once, then let clocks be wrong."""
    if missing():
        return
    cuts = _SMALL_CUTS if small else _CUTS
    jobs, came = SimpleQueue[tuple[_Fault, int]](), {fault: _Came() for fault in cuts}
    # Those that take long first.
    for fault in sorted(cuts, key=lambda fault: -fault.seconds):
        for seed in range(cuts[fault]):
            jobs.put((fault, seed))

    def work(number: int) -> None:
        with SeveralHosts(folder / str(number)) as hosts:
            hosts.set_up()
            fleet = _Fleet(hosts, haste=small)
            fleet.measure()
            while True:
                try:
                    fault, seed = jobs.get_nowait()
                except Empty:
                    return
                came[fault].add(_cut_off(fleet, fault, seed))

    # The network of a world is that of its thread.
    with ThreadPoolExecutor(_WORLDS) as pool:
        list(pool.map(work, range(1 if small else _WORLDS)))
    yield from (result.case(str(fault)) for fault, result in came.items())
    with SeveralHosts(folder / "clocks") as hosts:
        hosts.set_up()
        fleet, tries = _Fleet(hosts, haste=small), 1 if small else 3
        for clock, (case, off, found) in _CLOCKS.items():
            violations = [each for _ in range(tries) for each in case(fleet, off)]
            yield Case(clock, tries, violations, found)
