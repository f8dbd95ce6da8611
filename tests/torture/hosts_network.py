"""One host of three is cut off in the middle of a tick, or has a wrong clock; the others go on. Real certbot, and a real PostgreSQL.

Packets are dropped without a word to either side, and later pass again. While a host is cut off, another one runs ticks. Afterwards the
next tick, of any host, must recover everything; if it does not, a `recheck` takes the place of the tick after it, which saves the minute
until the retry. A cut is like a crash: for each name one excess order is allowed.
"""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
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
_WORLDS = 6
# So long after the cut a tick has ended: a connection is given up after 25 seconds, and a new one after 10 (docs/several-hosts.md),
# both of which may come twice, in the pass and at the end of the tick. The CA and C4 have longer limits.
_ENDS_WITHIN = {"the database": 90, "everything": 120, "the CA": 240, "C4": 240}
_PAUSE_SECONDS = 30
# Of a tick, in seconds, until one is seen to be shorter.
_LENGTH = 8.0
# With these the small slice need not wait.
_HASTE = "&connect_timeout=2&keepalives_idle=1&keepalives_interval=1&tcp_user_timeout=2500"


@dataclass(slots=True)
class _Came:
    """What came of some faults. `longest` is how many seconds a tick that was cut off went on at most."""

    violations: list[str] = field(default_factory=list)
    codes: Counter[int] = field(default_factory=Counter)
    commands: Counter[int] = field(default_factory=Counter)
    excess: int = 0
    longest: float = 0
    tries: int = 0

    def add(self, other: _Came, seed: int) -> None:
        """Count `other`, too."""
        self.violations += [f"seed {seed}: {each}" for each in other.violations]
        self.codes += other.codes
        self.commands += other.commands
        self.excess += other.excess
        self.longest = max(self.longest, other.longest)
        self.tries += other.tries

    @property
    def found(self) -> str:
        """Figures in words."""
        most = max(self.commands, default=0)
        return (
            f"ended after at most {self.longest:.0f} s; {describe_exit_codes(self.codes)};"
            f" recovered after at most {most} {'tick' if most == 1 else 'ticks'}; {self.excess} excess orders"
        )


class _Fleet(State):
    """The state of three hosts, with what the CA and C4 know of its domains."""

    def __init__(self, hosts: SeveralHosts, *, haste: bool) -> None:
        super().__init__(hosts.cdn, hosts.place("a", STATE_FOLDER), hosts.cdn.pebble)
        self.hosts = hosts
        if haste:
            hosts.add_to_url(_HASTE)
        self._length = _LENGTH

    def due(self) -> list[str]:
        """Record new domains, each of which may cost an order; return their names."""
        names = self.customers(_DOMAINS)
        self.most_orders.update(names)
        added = self.hosts.run("c", ["add", *names, "--no-wait"])
        assert added.code == Exit.OK, added
        return names

    def start_tick(self, host: str, chance: Random) -> tuple[list[str], subprocess.Popen[str]]:
        """Start a tick on `host` for new domains; return these, and the tick in a random moment of its work."""
        while True:
            names = self.due()
            tick = self.hosts.start(host, ["daemon-tick"])
            began = time.monotonic()
            try:
                tick.wait(chance.uniform(0.3, self._length))
            except subprocess.TimeoutExpired:
                return names, tick
            self._length = time.monotonic() - began
            tick.communicate()

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


# Injects a fault, whose random choices begin with a number.
Job = Callable[[_Fleet, int], _Came]


def _cut_off(what: str, seconds: float) -> Job:
    """Return a job that cuts a host off in the middle of a tick, for `seconds`, lets the next ticks recover, and checks."""

    def run(fleet: _Fleet, seed: int) -> _Came:
        chance, hosts = Random(f"{what} {seconds} {seed}"), fleet.hosts
        victim, other = chance.sample(NAMES, 2)
        names, tick = fleet.start_tick(victim, chance)
        fleet.cut(victim, what)
        came = _Came(tries=1)
        with ThreadPoolExecutor(1) as pool:
            end = pool.submit(_await_end, tick, _ENDS_WITHIN[what], came)
            came.violations += _ticks_beside(fleet, other, seconds)
            hosts.hosts[victim].mend()
            came.violations += end.result()
        for name in names:
            fleet.most_orders[name] += 1
        hosts.end_leases()
        came.violations += _recover(fleet, chance.choice(NAMES), names, came)
        came.excess = max(0, sum(fleet.orders().get(name, 0) for name in names) - len(names))
        return came

    return run


def _ticks_beside(fleet: _Fleet, host: str, seconds: float) -> Iterator[str]:
    """Run ticks on `host` for `seconds`, more often than cron does; yield a sentence for each with a bad end."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        beside = fleet.hosts.run(host, ["daemon-tick"])
        if beside.code not in (Exit.OK, Exit.SOME_NOT_WELL, Exit.PENDING, Exit.TRY_LATER):
            yield f"I8: a tick beside the cut host ended with {beside.code}: {beside.stderr}"
        time.sleep(max(0.0, min(_PAUSE_SECONDS, seconds / 4, end - time.monotonic())))


def _await_end(tick: subprocess.Popen[str], limit: float, came: _Came) -> list[str]:
    """Wait until the tick that was cut off ends; return what is wrong with its end."""
    began = time.monotonic()
    try:
        end = ended(tick, limit)
    except subprocess.TimeoutExpired:
        return [f"I8: the tick that was cut off had not ended {limit:.0f} s later"]
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


def _wrong_clock(days: int) -> Job:
    """Return a job that runs a tick on a host whose clock is `days` off, and then one on another host."""

    def run(fleet: _Fleet, _seed: int) -> _Came:
        names = fleet.due()
        orders = fleet.orders()
        refused = fleet.hosts.run("b", f"faketime -f {days:+}d sslctl daemon-tick")
        came = _Came(tries=1)
        if refused.code != Exit.TRY_LATER or "of the database, so nothing was done" not in refused.stderr:
            came.violations.append(f"I8: the tick ended with {refused.code}: {refused.stderr}")
        if fleet.orders() != orders:
            came.violations.append("I2: the tick placed orders")
        came.violations += _recover(fleet, "c", names, came)
        return came

    return run


def _clock_minutes_off(minutes: int) -> Job:
    """Return a job that runs ticks at the same time on a host whose clock is `minutes` off, and on two with a right one."""

    def run(fleet: _Fleet, _seed: int) -> _Came:
        fleet.due()
        off = f"faketime -f {minutes:+}m sslctl daemon-tick --json"
        commands = {"b": off, "a": ["daemon-tick"], "c": ["daemon-tick"]}
        ticks = {host: fleet.hosts.start(host, command) for host, command in commands.items()}
        came = _Came(tries=1)
        for host, tick in ticks.items():
            end = ended(tick)
            if end.code:
                came.violations.append(f"I8: the tick on {host} ended with {end.code}: {end.stderr}")
            elif host == "b" and f"{abs(minutes)} minutes" not in (end.json["clock_trouble"] or ""):
                came.violations.append(f"I8: no warning: {end.stdout}")
        came.violations += fleet.check()
        return came

    return run


def _jobs(*, small: bool) -> Iterator[tuple[str, Job, int, str]]:
    """Yield faults, each with what injects it, how often, and what is found apart from figures. Those that take long come first."""
    if not small:
        for what, tries in {"the database": 2, "everything": 2, "the CA": 1, "C4": 1}.items():
            yield f"cut off from {what} for 10 minutes", _cut_off(what, 600), tries, ""
    seconds, tries = (4, 1) if small else (30, 8)
    for what in ("the database",) if small else _ENDS_WITHIN:
        yield f"cut off from {what} for {seconds} s", _cut_off(what, seconds), tries, ""
    refused = "refused with exit code 75, without an order; another host did the work"
    for days in (2,) if small else (2, -2):
        yield f"a clock {abs(days)} days {_side(days)}", _wrong_clock(days), 1 if small else 4, refused
    for minutes in (-10,) if small else (10, -10):
        fault = f"a clock 10 minutes {_side(minutes)}, while three hosts run ticks"
        yield fault, _clock_minutes_off(minutes), 1 if small else 4, "all well, with a warning"


def _side(ahead: int) -> str:
    return "ahead" if ahead > 0 else "behind"


def run(folder: Path, *, small: bool) -> Iterator[Case]:
    """Inject the faults in several worlds at once. Do nothing where no networks can be made."""
    if missing():
        return
    cases = list(_jobs(small=small))
    came = [_Came() for _ in cases]
    jobs = SimpleQueue[tuple[int, int]]()
    for number, (_, _, tries, _) in enumerate(cases):
        for seed in range(tries):
            jobs.put((number, seed))

    def work(world: int) -> None:
        with SeveralHosts(folder / str(world)) as hosts:
            hosts.set_up()
            fleet = _Fleet(hosts, haste=small)
            with suppress(Empty):
                while True:
                    number, seed = jobs.get_nowait()
                    came[number].add(cases[number][1](fleet, seed), seed)

    # The network of a world is that of its thread.
    with ThreadPoolExecutor(_WORLDS) as pool:
        list(pool.map(work, range(1 if small else _WORLDS)))
    for (fault, _, _, found), result in zip(cases, came, strict=True):
        yield Case(fault, result.tries, result.violations, found or result.found)
