"""Concurrent sslctl processes with one state: ticks, operators' commands, and both.

The exit codes are compared with the final state. Exit code 75 means that another process works on the domain: then the
command may or may not have recorded its change.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from random import Random

import trustme

from sslctl.errors import Exit
from tests.torture.case import Case, describe_exit_codes
from tests.torture.environment import SYNCHRONIZED, Ended, Environment, State

TITLE = "Concurrent processes"
TARGET = "0 orders in duplicate, 0 lost updates; of several ticks one runs, the others end with 0"

_DOMAINS = 3
_OPERATORS = 4
_DOCUMENTED = frozenset(Exit) - {Exit.BUG, Exit.USAGE, Exit.UNUSABLE, Exit.INTERRUPTED}
# What may be recorded of a domain.
_ABSENT, _C4, _TEXT = "absent", "c4", "text"

# `record` only records domains, which gives the ticks work.
_WORK = ("record", "record", "record", "add", "recheck", "renew", "paste", "delete", "delete", "list")

# Pairs of commands that run on one domain at the same time.
_COUPLES = (
    ("renew", "renew"),
    ("renew", "delete"),
    ("renew", "paste"),
    ("paste", "delete"),
    ("paste", "paste"),
    ("delete", "delete"),
)

Command = tuple[str, ...]


def run(folder: Path, *, small: bool) -> Iterator[Case]:
    with Environment(folder / "1") as environment:
        for number, tries in ((5, 1),) if small else ((2, 10), (5, 10), (20, 5)):
            yield _ticks(environment, number, tries)
        pairs = Pairs(folder)
        yield _two_commands(environment, pairs, 1 if small else 5)
        yield _operators(environment, pairs, 4 if small else 120)


class Pairs:
    """Customers' own certificates, in files in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority = trustme.CA()
        self._numbers = count(1)

    def add(self, name: str) -> Command:
        """Return the command that adds a new certificate for `name`."""
        issued, number = self._authority.issue_cert(name), next(self._numbers)
        certificate, key = (self._folder / f"{number}.{part}.pem" for part in ("cert", "key"))
        certificate.write_bytes(issued.cert_chain_pems[0].bytes())
        key.write_bytes(issued.private_key_pem.bytes())
        return ("add", name, "--cert", str(certificate), "--key", str(key))


# Ticks


def _ticks(environment: Environment, number: int, tries: int) -> Case:
    violations: list[str] = []
    all_codes = Counter[int]()
    state = environment.state()
    for turn in range(tries):
        names = state.customers(_DOMAINS)
        state.record(names)
        state.most_orders.update(names)
        ended = at_once(state, [("daemon-tick",)] * number)
        codes = Counter(each.code for each in ended)
        all_codes += codes
        found = state.violations(acknowledged=names) + state.unfinished()
        # One runs. The others find it alive and have nothing to do, so they end with 0; `most_orders` shows that they did nothing.
        if codes != {Exit.OK: number}:
            found.append(
                f"I8: they ended with {dict(codes)}: {[each.stderr for each in ended if each.stderr][:2]}"
            )
        violations += [f"turn {turn}: {violation}" for violation in found]
    return Case(f"{number} concurrent ticks", tries, violations, describe_exit_codes(all_codes))


def at_once(state: State, commands: Sequence[Command]) -> list[Ended]:
    """Start all commands at the same moment and return their results, in order."""
    gate, opener = os.pipe()
    with os.fdopen(gate, "rb"), os.fdopen(opener, "wb"):
        processes = [state.start(*command, through=SYNCHRONIZED, gate=gate) for command in commands]
        for process in processes:
            process.await_gate()
    return [process.end() for process in processes]


# What must be there after commands


def _after(command: Command, code: int, before: str) -> set[str]:
    """Return what may be recorded of a domain after `command` ended with `code`; empty if that exit code is wrong."""
    what = command[0]
    if what == "delete":
        fits: dict[int, bool] = {
            Exit.OK: before != _ABSENT,
            Exit.NOT_MANAGED: before == _ABSENT,
            Exit.TRY_LATER: True,
        }
        return {before if code == Exit.TRY_LATER else _ABSENT} if fits.get(code) else set()
    if what == "recheck":
        refused: dict[int, str] = {Exit.NOT_MANAGED: _ABSENT, Exit.USAGE: _TEXT}
        only = refused.get(code)
        return {before} if before == only or (only is None and before != _ABSENT) else set()
    added = _TEXT if "--cert" in command else _C4
    # Another process may have claimed the domain before or after it was recorded, or deleted it in between.
    return {before, added} if code in (Exit.TRY_LATER, Exit.NOT_MANAGED) else {added}


def _recorded(state: State, name: str) -> str:
    found = state.rows(f"SELECT source FROM domain WHERE name = '{name}' AND deleted_at IS NULL")  # noqa: S608 - ours
    return str(found[0][0]) if found else _ABSENT


def _settle(state: State) -> list[str]:
    """Run a tick, and if needed a recheck in place of the next one; return which invariants do not hold then."""
    found: list[str] = []
    for command in ("daemon-tick", "recheck"):
        ended = state.run(command)
        found = state.violations() + [
            f"I6: {name} is deleted, and C4 still serves a certificate for it"
            for (name,) in state.rows("SELECT name FROM domain WHERE deleted_at IS NOT NULL")
            if state.installed(name) is not None
        ]
        if ended.code:
            found.append(f"I8: {command} ended with {ended.code}: {ended.stderr}")
        if not found:
            break
    return found


def _strange(command: Command, ended: Ended) -> list[str]:
    # A text certificate is not renewed.
    if ended.code in _DOCUMENTED or (command[0] == "recheck" and ended.code == Exit.USAGE):
        return []
    return [f"I8: {' '.join(command[:2])} ended with {ended.code}: {ended.stderr}"]


# Two commands that change C4, on one domain


def _two_commands(environment: Environment, pairs: Pairs, tries: int) -> Case:
    violations: list[str] = []
    codes = Counter[int]()
    for turn in range(tries):
        state = environment.state()
        names = state.customers(len(_COUPLES))
        state.run("add", *names)
        found: list[str] = []
        for name, couple in zip(names, _COUPLES, strict=True):
            state.most_orders[name] = 1 + couple.count("renew")
            commands = [_command(what, name, pairs) for what in couple]
            ended = at_once(state, commands)
            codes.update(each.code for each in ended)
            for command, each in zip(commands, ended, strict=True):
                found += _strange(command, each)
            if _recorded(state, name) not in _in_either_order(commands, ended):
                outcome = f"{couple} ended with {[each.code for each in ended]}"
                found.append(f"I3: {outcome}, and {name} is {_recorded(state, name)}")
        violations += [f"turn {turn}: {violation}" for violation in found + _settle(state)]
    return Case(
        "two concurrent commands that change C4, on one domain",
        tries * len(_COUPLES),
        violations,
        describe_exit_codes(codes),
    )


def _command(what: str, name: str, pairs: Pairs) -> Command:
    if what == "paste":
        return pairs.add(name)
    commands = {
        "record": ("add", "--no-wait"),
        "renew": ("recheck", "--force-renew"),
        "delete": ("delete", "--yes"),
    }
    return (*commands.get(what, (what,)), name)


def _in_either_order(commands: Sequence[Command], ended: Sequence[Ended]) -> set[str]:
    """Return what may be recorded after two commands on a domain of source c4, in either order."""
    both = list(zip(commands, ended, strict=True))
    return {
        last
        for (one, its_end), (other, other_end) in (both, both[::-1])
        for between in _after(one, its_end.code, _C4)
        for last in _after(other, other_end.code, between)
    }


# Ticks and operators


def _operators(environment: Environment, pairs: Pairs, seconds: float) -> Case:
    state = environment.state()
    state.record([])
    until = time.monotonic() + seconds
    with ThreadPoolExecutor(_OPERATORS + 1) as pool:
        ticking = pool.submit(_tick_until, state, until)
        working = [pool.submit(_operate, state, pairs, seed, until) for seed in range(_OPERATORS)]
        codes, violations = ticking.result()
        ticks = codes.total()
        for operator in working:
            its_codes, its_violations = operator.result()
            codes += its_codes
            violations += its_violations
    violations += _settle(state)
    found = f"{ticks} ticks; {describe_exit_codes(codes)}"
    return Case("consecutive ticks, with concurrent operators' commands", codes.total(), violations, found)


def _tick_until(state: State, until: float) -> tuple[Counter[int], list[str]]:
    codes, violations = Counter[int](), list[str]()
    while time.monotonic() < until:
        ended = state.run("daemon-tick")
        codes[ended.code] += 1
        if ended.code != Exit.OK:
            violations.append(f"I8: a tick ended with {ended.code}: {ended.stderr}")
    return codes, violations


def _operate(state: State, pairs: Pairs, seed: int, until: float) -> tuple[Counter[int], list[str]]:
    """Act as an operator with domains of its own; return exit codes, and where the record contradicts them."""
    chance = Random(seed)
    codes, violations = Counter[int](), list[str]()
    may_be = {name: {_ABSENT} for name in state.customers(2)}
    for name in may_be:
        state.most_orders[name] = 1
    while time.monotonic() < until:
        name = chance.choice(sorted(may_be))
        what = chance.choice(_WORK)
        command = ("list",) if what == "list" else _command(what, name, pairs)
        # After a text certificate the CA may issue a new one.
        state.most_orders[name] += what in ("renew", "paste")
        ended = state.run(*command)
        codes[ended.code] += 1
        violations += [f"seed {seed}: {one}" for one in _strange(command, ended)]
        if what == "list" or violations:
            continue
        may_be[name] = {last for before in may_be[name] for last in _after(command, ended.code, before)}
        if _recorded(state, name) not in may_be[name]:
            outcome = f"{' '.join(command[:3])} ended with {ended.code}"
            violations.append(f"seed {seed}: I3: {outcome}, and {name} is {_recorded(state, name)}")
            may_be[name] = {_recorded(state, name)}
    return codes, violations
