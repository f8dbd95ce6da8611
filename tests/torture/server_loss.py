"""A PostgreSQL server that stops in the middle of a tick, with real certbot, and how the next ticks recover.

The server is killed, or stops as `pg_ctl stop` does, and comes back after a while. The tick may notice that or not. A
tick in between ends at once. Then the next tick goes on: on the same host at once, or on another one after a minute, which is taken off the
last heartbeat of the tick before.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import cast

from sslctl.errors import Exit
from tests.support import module_command
from tests.support.postgres import Cluster
from tests.torture import kill
from tests.torture.case import Case
from tests.torture.environment import Ended
from tests.torture.kill import BOUNDARIES, Arena, Boundary, Kill, prepare
from tests.torture.shared_state import SharedEnvironment, SharedState

TITLE = "A PostgreSQL server that stops"
TARGET = (
    "ticks end with 0, 8 or 75; 0 violations, recovery within 2 ticks, at most 1 excess order a name and stop"
)

_HELD_PROCESS = module_command("tests.torture.held_process")
_TICK = ("daemon-tick",)
_RECHECK = ("recheck",)
_RIGHT_ENDS = (Exit.OK, Exit.UNUSABLE, Exit.TRY_LATER)
_FEW = ("the CA has the order, its URL is not stored",)


@dataclass(frozen=True, slots=True)
class Stop:
    """A way in which the server stops: by a signal (postgres(1)), and for how many seconds."""

    what: str
    signal: str
    seconds: float


_STOPS = (
    Stop("killed, back after 1 s", "KILL", 1),
    Stop("stopped at once (immediate), back after 1 s", "QUIT", 1),
    Stop("stopped after rolling back (fast), back after 1 s", "INT", 1),
)
_LONG = Stop("killed, back after 20 s", "KILL", 20)


def run(folder: Path, *, small: bool) -> Iterator[Case]:
    with ExitStack() as stack:
        grounds = []
        for number in range(1 if small else 3):
            server = Cluster()
            stack.callback(server.close)
            grounds.append(SharedEnvironment(folder / str(number), server))
        yield from kill.run_cases(grounds, _cases(small=small))


def _cases(*, small: bool) -> Iterable[tuple[str, Kill, int]]:
    for boundary in BOUNDARIES:
        if not boundary.loses_runs and (not small or boundary.what in _FEW):
            yield (
                f"the server is lost: {boundary.what}",
                partial(_stop_at, boundary=boundary),
                1 if small else 4,
            )
    for stop in _STOPS[:1] if small else _STOPS:
        yield f"{stop.what}: at a random moment of a tick", partial(_stop, stop=stop), 1 if small else 8
    if not small:
        yield f"{_LONG.what}: at a random moment of a tick", partial(_stop, stop=_LONG), 4


def _stop(arena: Arena, chance: Random, *, stop: Stop) -> tuple[list[str], int, Sequence[Sequence[str]]]:
    """Stop the server at a random moment of a tick; one that ended before does not count."""
    state = cast("SharedState", arena.take())
    while True:
        names = prepare(state)
        process = state.start(*_TICK)
        time.sleep(chance.uniform(0, arena.length))
        if process.is_running:
            break
        process.end()
    state.server.stop(stop.signal)
    _come_back(arena, state, stop)
    _require_right_end(arena, process.end())
    return _go_on(state, chance, names)


def _stop_at(
    arena: Arena, chance: Random, *, boundary: Boundary
) -> tuple[list[str], int, Sequence[Sequence[str]]]:
    """Stop the server while a tick is at a boundary of one domain; the others are anywhere at that moment."""
    state, stop = cast("SharedState", arena.take()), chance.choice(_STOPS)
    names = prepare(state)
    number = boundary.after * len(names) + chance.randint(1, len(names))
    gate, opener = os.pipe()
    arguments = (boundary.method, boundary.when, str(number), *_TICK)
    with os.fdopen(gate, "rb"), os.fdopen(opener, "wb"):
        process = state.start(*arguments, through=_HELD_PROCESS, gate=gate)
        process.await_gate()
        state.server.stop(stop.signal)
    _come_back(arena, state, stop)
    _require_right_end(arena, process.end())
    return _go_on(state, chance, names)


def _come_back(arena: Arena, state: SharedState, stop: Stop) -> None:
    """Let another host begin a tick, which needs the server, and start that after a while."""
    until = time.monotonic() + stop.seconds
    state.change_host()
    ended = state.run(*_TICK)
    if ended.code != Exit.UNUSABLE:
        arena.problems.append(f"I8: a tick without the server ended with {ended.code}: {ended.stderr}")
    state.change_host()
    time.sleep(max(0.0, until - time.monotonic()))
    state.server.start()


def _require_right_end(arena: Arena, ended: Ended) -> None:
    arena.codes[ended.code] += 1
    if ended.code not in _RIGHT_ENDS:
        arena.problems.append(f"I8: the tick ended with {ended.code}: {ended.stderr}")


def _go_on(
    state: SharedState, chance: Random, names: list[str]
) -> tuple[list[str], int, Sequence[Sequence[str]]]:
    if chance.random() < 0.5:
        state.end_leases()
        state.change_host()
    return names, 1, (_TICK, _RECHECK)
