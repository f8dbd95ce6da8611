"""kill -9 of real sslctl processes with real certbot, and how the next runs recover.

After each kill the next tick begins at once, while children of the killed process may still be ending. It must recover
everything; if it does not, a `recheck` takes the place of the tick after it, which saves the minute until the retry.
While the CA validates, the kill and the next run fall into its validation: for these cases it takes up to 3 seconds.
Each process works on several domains and a kill affects all of them: for each name one excess order a crash is allowed,
and all excess orders are reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from random import Random

from tests.torture.case import Case, describe_exit_codes
from tests.torture.environment import DYING_PROCESS, Environment, State

TITLE = "kill -9"
TARGET = "0 violations, recovery within 2 ticks, at most 1 excess order a name and crash"

_DOMAINS = 3
_TRIES_A_STATE = 10
_GROUNDS = 4
VALIDATION_SECONDS = 3
_TICK = ("daemon-tick",)
_RECHECK = ("recheck",)
_RENEW = ("recheck", "--force-renew")


@dataclass(frozen=True, slots=True)
class Boundary:
    """A moment between two steps of a pass: before or after (`when`) the call of a method of the store.

    `after` skips that many calls for each domain. With `loses_runs` what certbot wrote is lost as well.
    """

    what: str
    method: str
    when: str
    after: int = 0
    loses_runs: bool = False


BOUNDARIES = (
    Boundary("the domain is claimed", "transaction", "after"),
    Boundary("key and CSR are stored", "open_order", "after"),
    Boundary("the CA has the order, its URL is not stored", "record_order_url", "before"),
    Boundary("the order's URL is stored", "record_order_url", "after"),
    Boundary("issued, on disk, not stored", "add_issued_certificate", "before"),
    Boundary("issued at the CA, not on disk", "add_issued_certificate", "before", loses_runs=True),
    Boundary("the certificate is stored", "add_issued_certificate", "after"),
    Boundary("the intent to upload is stored", "mark_uploading", "after"),
    Boundary("C4 has it, not recorded", "mark_uploaded", "before"),
    Boundary("the upload is recorded", "mark_uploaded", "after"),
    Boundary("read back and recorded", "mark_serving", "after"),
    Boundary("the result is recorded", "transaction", "after", after=1),
)
_FEW = ("the CA has the order, its URL is not stored", "issued at the CA, not on disk")


@dataclass(slots=True)
class Recovery:
    """The results of some kills. `ticks` counts how many ticks the recovery took, `left` what was left behind.

    `codes` counts the exit codes of processes that a fault did not kill.
    """

    kills: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    ticks: Counter[int] = field(default_factory=Counter)
    excess: int = 0
    left: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def add(self, other: Recovery) -> None:
        """Add the results of `other`."""
        self.kills += other.kills
        self.codes += other.codes
        self.ticks += other.ticks
        self.excess += other.excess
        self.left += other.left
        self.violations += other.violations

    def case(self, fault: str) -> Case:
        """Return the results as a case."""
        whole = ", ".join(f"{count} after {ticks}" for ticks, count in sorted(self.ticks.items()))
        left = ", ".join(f"{count} {what}" for what, count in sorted(self.left.items())) or "nothing"
        found = f"ticks until recovery: {whole}; {self.excess} excess orders; left behind: {left}"
        if self.codes:
            found = f"{describe_exit_codes(self.codes)}; {found}"
        return Case(fault, self.kills, self.violations, found)


class Arena:
    """A ground with the state that is in use, and how long an unfaulted tick takes there.

    A kill adds to `codes` and `problems` what came of processes that it did not kill.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._left = 0
        self.state: State
        self.length = 0.0
        self.codes = Counter[int]()
        self.problems: list[str] = []
        self.renew()

    def renew(self) -> None:
        """Start an empty state."""
        self.state, self._left = self._environment.state(), _TRIES_A_STATE

    def take(self) -> State:
        """Return the state for a try; after some tries a new one, since the checker reads all of it."""
        if not self._left:
            self.renew()
        self._left -= 1
        return self.state

    def measure(self) -> None:
        """Measure a tick over as many domains as the killed ticks have."""
        prepare(self.state)
        process = self.state.start(*_TICK)
        process.end()
        self.length = process.seconds


def prepare(state: State, number: int = _DOMAINS) -> list[str]:
    """Record `number` new domains, each of which may cost an order; return their names."""
    names = state.customers(number)
    state.record(names)
    state.most_orders.update(names)
    return names


# Kills; returns the affected domains, the number of kills, and the commands that must recover them.
Kill = Callable[[Arena, Random], tuple[list[str], int, Sequence[Sequence[str]]]]


def at(boundary: Boundary) -> Kill:
    """Return a kill of a tick at a boundary of one domain; the other domains are anywhere at that moment."""

    def kill(arena: Arena, chance: Random) -> tuple[list[str], int, Sequence[Sequence[str]]]:
        state = arena.take()
        names = prepare(state)
        number = boundary.after * _DOMAINS + chance.randint(1, _DOMAINS)
        process = state.start(boundary.method, boundary.when, str(number), *_TICK, through=DYING_PROCESS)
        killed = process.end().code < 0
        if boundary.loses_runs:
            state.lose_runs()
        return names, int(killed), (_TICK, _RECHECK)

    return kill


def in_tick(arena: Arena, chance: Random) -> tuple[list[str], int, Sequence[Sequence[str]]]:
    """Kill a tick at a random moment; one that ended before does not count."""
    state = arena.take()
    names = prepare(state)
    while not state.start(*_TICK).kill_after(chance.uniform(0, arena.length)):
        names = prepare(state)
    return names, 1, (_TICK, _RECHECK)


def in_recovery(arena: Arena, chance: Random) -> tuple[list[str], int, Sequence[Sequence[str]]]:
    """Kill a tick at a random moment, and also the tick that continues its work."""
    names, kills, following = in_tick(arena, chance)
    kills += arena.state.start(*_TICK).kill_after(chance.uniform(0, arena.length))
    return names, kills, following


def in_add(arena: Arena, chance: Random) -> tuple[list[str], int, Sequence[Sequence[str]]]:
    """Kill the very first command, which creates the database, the key file and the account. The operator repeats it."""
    while True:
        arena.renew()
        names = arena.state.customers(_DOMAINS)
        arena.state.most_orders.update(names)
        if arena.state.start("add", *names).kill_after(chance.uniform(0, arena.length)):
            return names, 1, (("add", *names), _RECHECK)


def in_renewal(arena: Arena, chance: Random) -> tuple[list[str], int, Sequence[Sequence[str]]]:
    """Kill a renewal at a random moment: the served certificate must stay, and the order must not be lost."""
    state = arena.take()
    names = prepare(state)
    state.run(*_TICK)
    while True:
        state.most_orders.update(names)
        if state.start(*_RENEW, *names).kill_after(chance.uniform(0, arena.length)):
            return names, 1, (_TICK, _RECHECK)


def kill_and_recover(arena: Arena, kill: Kill, seed: int) -> Recovery:
    """Kill once, let the next runs recover, and check."""
    names, kills, following = kill(arena, Random(seed))
    state = arena.state
    # A crash may cost each name that was being processed one extra order.
    needed = sum(state.most_orders[name] for name in names)
    for name in names:
        state.most_orders[name] += kills
    came = Recovery(kills, arena.codes)
    before, found = arena.problems, list[str]()
    arena.codes, arena.problems = Counter[int](), []
    for ticks, arguments in enumerate(following, 1):
        ended = state.run(*arguments)
        found = state.violations() + state.unfinished()
        if ended.code:
            found.append(f"I8: {arguments[0]} ended with {ended.code}: {ended.stderr}")
        if not found:
            came.ticks[ticks] += 1
            break
    orders = state.orders()
    came.excess = max(0, sum(orders.get(name, 0) for name in names) - needed)
    came.left += state.sweep()
    if not kills:
        found.append("I8: not killed: the moment did not occur")
    if left := state.processes():
        found.append(f"I8: {left} processes outlived their parent")
    found += before
    if found:
        # Report a violation only once.
        arena.renew()
    came.violations = [f"seed {seed}: {violation}" for violation in found]
    return came


def run(folder: Path, *, small: bool) -> Iterator[Case]:
    grounds = 2 if small else _GROUNDS
    yield from run_cases(
        [Environment(folder / str(number)) for number in range(grounds)], _cases(small=small)
    )
    slow = [("kill -9 of a tick while the CA validates", in_tick, 2 if small else 80)]
    yield from run_cases(
        [
            Environment(folder / "slow" / str(number), validation_seconds=VALIDATION_SECONDS)
            for number in range(1 if small else _GROUNDS)
        ],
        slow,
    )


def run_cases(grounds: Iterable[Environment], cases: Iterable[tuple[str, Kill, int]]) -> Iterator[Case]:
    """Yield what came of `cases`: a fault, the kill, and how often. Several of them run at once, each in one of `grounds`."""
    with ExitStack() as stack:
        # Started by this thread, which lives longest: a CA ends with the thread that started it.
        environments = [stack.enter_context(ground) for ground in grounds]
        arenas = SimpleQueue[Arena]()
        for environment in environments:
            arenas.put(Arena(environment))
        pool = stack.enter_context(ThreadPoolExecutor(len(environments)))

        def run_one(kill: Kill, seed: int) -> Recovery:
            arena = arenas.get()
            try:
                if not arena.length:
                    arena.measure()
                return kill_and_recover(arena, kill, seed)
            finally:
                arenas.put(arena)

        for fault, kill, tries in cases:
            came = Recovery()
            for recovery in pool.map(run_one, [kill] * tries, range(tries)):
                came.add(recovery)
            yield came.case(fault)


def _cases(*, small: bool) -> Iterable[tuple[str, Kill, int]]:
    for boundary in BOUNDARIES:
        if not small or boundary.what in _FEW:
            yield f"kill -9: {boundary.what}", at(boundary), 1 if small else 20
    yield "kill -9 at a random moment of a tick", in_tick, 2 if small else 500
    yield "kill -9 of a tick, and of the tick that recovers from it", in_recovery, 1 if small else 40
    if not small:
        yield "kill -9 at a random moment of a renewal", in_renewal, 40
        yield "kill -9 of the very first command, which creates the state", in_add, 20
