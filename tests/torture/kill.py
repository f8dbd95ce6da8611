"""kill -9 of real sslctl processes with real certbot at work, and what the next runs make of it.

After each kill the next tick begins at once, while children of the killed one may still be ending. It must make all
whole; where it does not, a `recheck` stands for the tick after that, so that nobody waits for a retry's minute.
Several domains are under way in each process, and one kill hits all of them: at most one order in excess a crash is
counted for each name, and all that were there are shown.
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

from tests.torture.case import Case
from tests.torture.environment import DYING_PROCESS, Environment, State

TITLE = "kill -9"
TARGET = "0 violations, whole again in at most 2 ticks, at most 1 order in excess a name and crash"

_DOMAINS = 3
_TRIES_A_STATE = 10
_GROUNDS = 4
_TICK = ("daemon-tick",)
_RECHECK = ("recheck",)
_RENEW = ("recheck", "--force-renew")


@dataclass(frozen=True, slots=True)
class Boundary:
    """A moment between two steps of a pass: `when` a method of the store is called, in the first such round of calls.

    `after` so many calls for each domain. With `loses_runs` what certbot wrote is lost as well.
    """

    what: str
    method: str
    when: str
    after: int = 0
    loses_runs: bool = False


BOUNDARIES = (
    Boundary("the domain is claimed", "transaction", "after"),
    Boundary("key and CSR are kept", "open_order", "after"),
    Boundary("the CA has the order, its URL is not kept", "record_order_url", "before"),
    Boundary("the order's URL is kept", "record_order_url", "after"),
    Boundary("issued, on disk, not kept", "add_issued_certificate", "before"),
    Boundary("issued at the CA, not on disk", "add_issued_certificate", "before", loses_runs=True),
    Boundary("the certificate is kept", "add_issued_certificate", "after"),
    Boundary("the intent to upload is kept", "mark_uploading", "after"),
    Boundary("C4 has it, not recorded", "mark_uploaded", "before"),
    Boundary("the upload is recorded", "mark_uploaded", "after"),
    Boundary("read back and recorded", "mark_serving", "after"),
    Boundary("settled", "transaction", "after", after=1),
)
_FEW = ("the CA has the order, its URL is not kept", "issued at the CA, not on disk")


@dataclass(slots=True)
class Survival:
    """What came of tries. `ticks` counts how many it took to be whole, `left` what was left behind."""

    kills: int = 0
    ticks: Counter[int] = field(default_factory=Counter)
    excess: int = 0
    left: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def add(self, other: Survival) -> None:
        """Take in another one's."""
        self.kills += other.kills
        self.ticks += other.ticks
        self.excess += other.excess
        self.left += other.left
        self.violations += other.violations

    def case(self, fault: str) -> Case:
        """Give it as a case."""
        whole = ", ".join(f"{count} after {ticks}" for ticks, count in sorted(self.ticks.items()))
        left = ", ".join(f"{count} {what}" for what, count in sorted(self.left.items())) or "nothing"
        found = f"ticks until whole: {whole}; {self.excess} orders in excess; left behind: {left}"
        return Case(fault, self.kills, self.violations, found)


class Arena:
    """A ground with the state that is in use, and how long an unfaulted tick takes there."""

    def __init__(self, ground: Environment) -> None:
        self._ground = ground
        self._left = 0
        self.state: State
        self.length = 0.0
        self.renew()

    def renew(self) -> None:
        """Begin with an empty state."""
        self.state, self._left = self._ground.state(), _TRIES_A_STATE

    def take(self) -> State:
        """Give the state for a try; the checker looks at all of it, so it is not to grow for ever."""
        if not self._left:
            self.renew()
        self._left -= 1
        return self.state

    def measure(self) -> None:
        """Measure a tick over as many domains as are killed in."""
        prepare(self.state)
        process = self.state.start(*_TICK)
        process.end()
        self.length = process.seconds


def prepare(state: State) -> list[str]:
    """Record new domains; each may cost an order."""
    names = state.customers(_DOMAINS)
    state.record(names)
    state.most_orders.update(names)
    return names


# Each kills, and gives the domains that were hit, how many kills there were, and the commands that make it whole.
Blow = Callable[[Arena, Random], tuple[list[str], int, Sequence[Sequence[str]]]]


def at(boundary: Boundary) -> Blow:
    """Kill a tick at a boundary, for one of the domains; where the others are at that moment is left to chance."""

    def blow(arena: Arena, chance: Random) -> tuple[list[str], int, Sequence[Sequence[str]]]:
        state = arena.take()
        names = prepare(state)
        number = boundary.after * _DOMAINS + chance.randint(1, _DOMAINS)
        process = state.start(boundary.method, boundary.when, str(number), *_TICK, through=DYING_PROCESS)
        killed = process.end().code < 0
        if boundary.loses_runs:
            state.lose_runs()
        return names, int(killed), (_TICK, _RECHECK)

    return blow


def in_tick(arena: Arena, chance: Random) -> tuple[list[str], int, Sequence[Sequence[str]]]:
    """Kill a tick at a random moment of its length; one that had ended before counts for nothing."""
    state = arena.take()
    names = prepare(state)
    while not state.start(*_TICK).kill_after(chance.uniform(0, arena.length)):
        names = prepare(state)
    return names, 1, (_TICK, _RECHECK)


def in_recovery(arena: Arena, chance: Random) -> tuple[list[str], int, Sequence[Sequence[str]]]:
    """Kill a tick at a random moment, and the one that goes on with it, too."""
    names, kills, following = in_tick(arena, chance)
    kills += arena.state.start(*_TICK).kill_after(chance.uniform(0, arena.length))
    return names, kills, following


def in_add(arena: Arena, chance: Random) -> tuple[list[str], int, Sequence[Sequence[str]]]:
    """Kill the very first command: it makes the database, the key file and the account. The operator repeats it."""
    while True:
        arena.renew()
        names = arena.state.customers(_DOMAINS)
        arena.state.most_orders.update(names)
        if arena.state.start("add", *names).kill_after(chance.uniform(0, arena.length)):
            return names, 1, (("add", *names), _RECHECK)


def in_renewal(arena: Arena, chance: Random) -> tuple[list[str], int, Sequence[Sequence[str]]]:
    """Kill a renewal at a random moment: what is served must stay, and what was ordered must not be forgotten."""
    state = arena.take()
    names = prepare(state)
    state.run(*_TICK)
    while True:
        state.most_orders.update(names)
        if state.start(*_RENEW, *names).kill_after(chance.uniform(0, arena.length)):
            return names, 1, (_TICK, _RECHECK)


def endure(arena: Arena, blow: Blow, seed: int) -> Survival:
    """Strike once, let the next runs recover, and look."""
    names, kills, following = blow(arena, Random(seed))
    state = arena.state
    # The one extra order that a crash may cost each name under way.
    needed = sum(state.most_orders[name] for name in names)
    for name in names:
        state.most_orders[name] += kills
    came = Survival(kills)
    found: list[str] = []
    for ticks, arguments in enumerate(following, 1):
        ended = state.run(*arguments)
        found = state.violations() + state.unfinished()
        if ended.code:
            found.append(f"I8: {arguments[0]} ended with {ended.code}: {ended.said}")
        if not found:
            came.ticks[ticks] += 1
            break
    orders = state.orders()
    came.excess = max(0, sum(orders.get(name, 0) for name in names) - needed)
    came.left += state.sweep()
    if not kills:
        found.append("I8: it was not killed: the moment never came")
    if left := state.processes():
        found.append(f"I8: {left} processes outlived their parent")
    if found:
        # What does not hold is told once.
        arena.renew()
    came.violations = [f"seed {seed}: {violation}" for violation in found]
    return came


def run(folder: Path, *, small: bool) -> Iterator[Case]:
    with ExitStack() as stack:
        # Started by this thread, which outlives the others: the CAs end with the thread that started them.
        grounds = [
            stack.enter_context(Environment(folder / str(number)))
            for number in range(2 if small else _GROUNDS)
        ]
        arenas = SimpleQueue[Arena]()
        for ground in grounds:
            arenas.put(Arena(ground))
        pool = stack.enter_context(ThreadPoolExecutor(len(grounds)))

        def strike(blow: Blow, seed: int) -> Survival:
            arena = arenas.get()
            try:
                if not arena.length:
                    arena.measure()
                return endure(arena, blow, seed)
            finally:
                arenas.put(arena)

        for fault, blow, tries in _cases(small=small):
            came = Survival()
            for survival in pool.map(strike, [blow] * tries, range(tries)):
                came.add(survival)
            yield came.case(fault)


def _cases(*, small: bool) -> Iterable[tuple[str, Blow, int]]:
    for boundary in BOUNDARIES:
        if not small or boundary.what in _FEW:
            yield f"kill -9 where {boundary.what}", at(boundary), 1 if small else 20
    yield "kill -9 at a random moment of a tick", in_tick, 2 if small else 500
    yield "kill -9 of a tick, and of the tick that recovers from that", in_recovery, 1 if small else 40
    if not small:
        yield "kill -9 at a random moment of a renewal", in_renewal, 40
        yield "kill -9 of the first command of all, which makes the state", in_add, 20
