"""kill -9 of ticks on two hosts with one PostgreSQL database, with real certbot, and how the other host recovers.

The other host begins as soon as the lease of the killed process has ended: a minute after its last heartbeat, by the database's clock. That
minute is taken off the heartbeat. The host of the killed process does not wait.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import cast

from sslctl.errors import Exit
from tests.support.postgres import cluster
from tests.torture import kill
from tests.torture.case import Case
from tests.torture.environment import Process
from tests.torture.kill import BOUNDARIES, Arena, Kill, prepare
from tests.torture.shared_state import SharedEnvironment, SharedState

TITLE = "kill -9 of one of two hosts"
TARGET = "0 violations, recovery within 2 ticks of either host, at most 1 excess order a name and crash, one whole history"

# More than one host takes at once.
_SHARED = 40
_PATIENCE = 10
_TICK = ("daemon-tick",)
_RECHECK = ("recheck",)
_FEW = ("the CA has the order, its URL is not stored", "the intent to upload is stored")

Killed = tuple[list[str], int, Sequence[Sequence[str]]]


def run(folder: Path, *, small: bool) -> Iterator[Case]:
    grounds = [SharedEnvironment(folder / str(number), cluster()) for number in range(1 if small else 3)]
    yield from kill.run_cases(grounds, _cases(small=small))
    slow = [
        SharedEnvironment(
            folder / "slow" / str(number), cluster(), validation_seconds=kill.VALIDATION_SECONDS
        )
        for number in range(1 if small else 3)
    ]
    fault = "another host goes on: while the CA validates"
    yield from kill.run_cases(slow, [(fault, _elsewhere(kill.in_tick), 1 if small else 6)])


def _cases(*, small: bool) -> Iterable[tuple[str, Kill, int]]:
    for boundary in BOUNDARIES:
        # The other host never had what certbot wrote.
        if not boundary.loses_runs and (not small or boundary.what in _FEW):
            yield f"another host goes on: {boundary.what}", _elsewhere(kill.at(boundary)), 1 if small else 3
    yield "another host goes on: at a random moment of a tick", _elsewhere(kill.in_tick), 1 if small else 12
    yield "the same host goes on at once: at a random moment of a tick", kill.in_tick, 1 if small else 12
    if not small:
        yield "the other host, which goes on, is killed as well", _elsewhere(_in_recovery), 5
        yield "another host goes on: at a random moment of a renewal", _elsewhere(kill.in_renewal), 5
    yield "the leading tick, beside one of another host", partial(_beside, victim=0), 1 if small else 4
    if not small:
        yield "the tick beside the leading one", partial(_beside, victim=1), 4
        yield "both ticks", partial(_beside, victim=None), 2


def _elsewhere(kills: Kill) -> Kill:
    """Return `kills`, after which the other host goes on, a minute later."""

    def elsewhere(arena: Arena, chance: Random) -> Killed:
        killed = kills(arena, chance)
        _go_elsewhere(arena)
        return killed

    return elsewhere


def _go_elsewhere(arena: Arena) -> None:
    state = cast("SharedState", arena.state)
    state.end_leases()
    state.change_host()


def _in_recovery(arena: Arena, chance: Random) -> Killed:
    """Kill a tick at a random moment, and also that of the other host which continues its work."""
    names, kills, following = _elsewhere(kill.in_tick)(arena, chance)
    kills += arena.state.start(*_TICK).kill_after(chance.uniform(0, arena.length))
    return names, kills, following


def _beside(arena: Arena, chance: Random, *, victim: int | None) -> Killed:
    """Kill the leading tick (`victim` 0), the one beside it (1) or both at a random moment; one that ended before does not count."""
    while True:
        state = cast("SharedState", arena.take())
        names = prepare(state, _SHARED)
        running = [state.start(*_TICK)]
        _await(state, "SELECT 1 FROM lease OFFSET 2")
        state.change_host()
        running.append(state.start(*_TICK))
        _await(state, "SELECT 1 FROM process OFFSET 1")
        killed = running if victim is None else [running[victim]]
        kills = sum(each.kill_after(chance.uniform(0, arena.length / 2)) for each in killed)
        _end_well(arena, [each for each in running if each not in killed])
        if kills == len(killed):
            break
    if victim == 1:
        state.change_host()
    state.end_leases()
    return names, kills, (_TICK, _RECHECK)


def _await(state: SharedState, sql: str) -> None:
    """Wait until the query `sql` finds something."""
    deadline = time.monotonic() + _PATIENCE
    while not state.rows(sql) and time.monotonic() < deadline:
        time.sleep(0.02)


def _end_well(arena: Arena, survivors: Sequence[Process]) -> None:
    for process in survivors:
        ended = process.end()
        arena.codes[ended.code] += 1
        if ended.code != Exit.OK:
            arena.problems.append(f"I8: the tick that was not killed ended with {ended.code}: {ended.stderr}")
