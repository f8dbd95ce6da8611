"""Bit rot: one bit of the database is flipped. SQLite has no checksums."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from random import Random
from typing import Any

from sslctl.errors import Exit
from tests.support.cdn import Result
from tests.torture.case import Case
from tests.torture.sample_fleet import AWAY, HEALTHY, ORDERS, OWED, SampleFleet

_SEED = 20261123
_READING = (("list", "--json"), *(("view", name, "--json") for name in (*HEALTHY, AWAY)))
# Fields of a domain that no decision depends on.
_ASIDE = ("reason", "events", "created_at", "checked_at", "actor")


def run(fleet: SampleFleet, flips: int) -> Iterator[Case]:
    """Flip a random bit, read, and run a tick; `flips` times, each time from the same state of the whole CDN."""
    trial = _Trial(fleet)
    for number in range(flips):
        trial.flip(Random(f"{_SEED}/{number}"), f"flip {_SEED}/{number}")
    yield Case("bit flip, then list and view", flips, trial.misread, _describe(trial.readings))
    yield Case("bit flip, then a tick", flips, trial.misled, _describe(trial.ticks))


class _Trial:
    """Bit flips in one fleet, whose correct output is known."""

    def __init__(self, fleet: SampleFleet) -> None:
        self._fleet = fleet
        self.misread: list[str] = []
        self.misled: list[str] = []
        self.readings = Counter[str]()
        self.ticks = Counter[str]()
        fleet.restore()
        self._content = fleet.database.read_bytes()
        self._right = {command: fleet.cdn.sslctl(*command).json for command in _READING}
        app = fleet.cdn.app()
        wanted = app.store.domain(OWED).wanted
        assert wanted is not None
        owed = app.store.bundle(wanted)
        app.close()
        self._served = {
            name: (site.latest.certificate, site.latest.chain)
            for name, site in fleet.cdn.c4._records._sites.items()
            if site.latest is not None
        }
        self._good = {*self._served.values(), (owed.certificate, owed.chain)}
        fleet.cdn.sslctl("daemon-tick")
        # A number in a damaged database may be any.
        fleet.cdn.is_json_checked = False
        self._statuses = _statuses(fleet.cdn.sslctl("list", "--json"))

    def flip(self, random: Random, moment: str) -> None:
        """Flip one bit; record how reading commands and a tick react."""
        fleet, bit = self._fleet, random.randrange(len(self._content) * 8)
        fleet.restore()
        content = bytearray(self._content)
        content[bit // 8] ^= 1 << bit % 8
        fleet.database.write_bytes(content)
        moment = f"byte {bit // 8}, {moment}"
        self.readings[self._read(bytes(content), moment)] += 1
        self.ticks[self._tick(bytes(content), moment)] += 1

    def _read(self, content: bytes, moment: str) -> str:
        ends = set[str]()
        for command in _READING:
            result = self._fleet.cdn.sslctl(*command)
            if self._fleet.database.read_bytes() != content:
                self.misread.append(f"{command[0]} wrote to a damaged database ({moment})")
            if _is_refusal(result):
                ends.add("refused")
            elif result.exit_code != Exit.OK:
                self.misread.append(f"{command} ended with {result.exit_code}: {result.stderr} ({moment})")
            elif result.json == self._right[command]:
                ends.add("right")
            elif _facts(result.json) == _facts(self._right[command]):
                ends.add("wrong text in the history, a reason or a time of a check")
            else:
                self.misread.append(f"{' '.join(command[:2])} prints wrong facts ({moment})")
        # The worst outcome of all commands.
        return next((end for end in ("refused", *sorted(ends - {"right"})) if end in ends), "right")

    def _tick(self, content: bytes, moment: str) -> str:
        fleet, was_well_formed = self._fleet, self._is_well_formed()
        result = fleet.cdn.sslctl("daemon-tick")
        self.misled += [f"{each} ({moment})" for each in self._side_effects()]
        if _is_refusal(result):
            if not was_well_formed:
                if fleet.database.read_bytes() != content:
                    self.misled.append(f"a corrupt database was written to ({moment})")
                return "refused at once, file unchanged"
            if not self._is_well_formed():
                self.misled.append(f"a tick broke the database ({moment})")
            return "refused at a damaged row"
        found = fleet.cdn.sslctl("list", "--json")
        if _is_refusal(found):
            return "right; a row that was not due is damaged"
        if _statuses(found) == self._statuses and fleet.ca.orders_by_name() == ORDERS:
            return "right"
        message = f"a tick ended with {result.exit_code}: {result.stderr or _statuses(found)}"
        self.misled.append(f"{message} ({moment})")
        return "wrong"

    def _side_effects(self) -> Iterator[str]:
        """Yield what a tick did to the CA and C4 that it must not do."""
        fleet = self._fleet
        orders = fleet.ca.orders_by_name()
        yield from (
            f"{count} orders for {name}" for name, count in orders.items() if count > ORDERS.get(name, 0)
        )
        good = self._good | {(issued.certificate, issued.chain) for issued in fleet.ca.issued.values()}
        for name, site in fleet.cdn.c4._records._sites.items():
            if site.latest is None and name in self._served:
                yield f"C4 lost its certificate for {name}"
            elif site.latest is not None and (site.latest.certificate, site.latest.chain) not in good:
                yield f"a damaged certificate or chain was uploaded for {name}"

    def _is_well_formed(self) -> bool:
        with closing(sqlite3.connect(self._fleet.database)) as connection:
            try:
                return bool(connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok")
            except (sqlite3.Error, UnicodeDecodeError):
                return False


def _statuses(listed: Result) -> list[tuple[str, str]]:
    return [
        (domain["domain"], domain["reason"]["code"] if domain["reason"] else "well")
        for domain in listed.json["domains"]
    ]


def _is_refusal(result: Result) -> bool:
    return result.exit_code == Exit.UNUSABLE and "sslctl: error: " in result.stderr


def _facts(output: Any) -> Any:
    """Return the output without the fields that no decision depends on."""
    if isinstance(output, dict):
        return {name: _facts(value) for name, value in output.items() if name not in _ASIDE}
    return [_facts(value) for value in output] if isinstance(output, list) else output


def _describe(ends: Counter[str]) -> str:
    return ", ".join(f"{count} {end}" for end, count in ends.most_common())
