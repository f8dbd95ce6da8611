"""One life of sslctl in a whole CDN with a fake CA, beside a small model of what must be so.

The model has what a person would remember: which domains were added, with which names and from which source, and
what the CA issued. It knows nothing of how sslctl works.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sslctl.rules.model import Leaf
from sslctl.rules.reasons import REASONS, Code
from sslctl.sandbox.c4.faults import Fault
from tests.support.cdn import SUFFIX, Cdn, Result
from tests.support.dns_zone import Trouble as DnsTrouble
from tests.support.dying_store import DyingStore, Killed
from tests.support.fakes import Clock
from tests.torture import invariants
from tests.torture.auditing_ca import AuditingCa

NAMES = ("shop.example.com", "news.example.org", "blog.example.net")
ELSEWHERE = "parking.elsewhere.test"

# README, "Exit codes".
_OF_STATUS = {"Success": 0, "Pending": 3, "Failure": 4, "Expired": 4, "Discard": 6, "Emergency": 7}
ONE = frozenset(_OF_STATUS.values())
MANY = frozenset({0, 5, 7})
USAGE, UNUSABLE, NOT_MANAGED, TRY_LATER = 2, 8, 9, 75
# Longer than any pause or wait for the next try.
_PAST_EVERY_RETRY = timedelta(days=8)
_FARTHEST_BACK = timedelta(hours=12)


Facts = tuple[bool, str, tuple[str, ...], str | None]


@dataclass(frozen=True, slots=True)
class Intent:
    """What a person wants of a domain. `pasted` is the leaf that was pasted last, however long ago."""

    managed: bool = False
    source: str = "c4"
    sans: tuple[str, ...] = ()
    pasted: Leaf | None = None

    @property
    def facts(self) -> Facts:
        """What must be recorded of it."""
        return self.managed, self.source, self.sans, None if self.pasted is None else self.pasted.fingerprint

    @property
    def expires_at(self) -> datetime | None:
        """When what it is to have expires, where that was pasted."""
        return self.pasted.not_after if self.source == "text" and self.pasted else None


@dataclass(frozen=True, slots=True)
class Crash:
    """A kill right before or after the `fatal`-th write."""

    fatal: int
    before: bool


class Violated(AssertionError):
    """An invariant does not hold."""


class ModelRun:
    """Use as a context manager. `activation_seconds` is how long C4 takes for an upload."""

    def __init__(self, folder: Path, *, activation_seconds: float = 0) -> None:
        self.clock = Clock()
        self._latest = self.clock.at
        # Their clocks are right, whatever ours does.
        self.cdn = Cdn(
            folder, self.clock, activation_seconds=activation_seconds, outside=lambda: self._latest
        )
        self.ca = AuditingCa(self.clock, lambda: self._latest)
        self.cdn.issuer = self.ca
        self.wishes = dict.fromkeys(NAMES, Intent())
        self.crashes = 0
        # What belongs on the edge for domains that were deleted.
        self._remnants: dict[str, str | None] = {}
        self._unwell: set[str] = set()
        self._faulty = False
        self._instant = activation_seconds == 0
        self._outside = invariants.Outside(self.ca.serials, self.ca.orders_by_name, self.cdn.installed)

    def __enter__(self) -> Self:
        self.cdn.__enter__()
        text = self.cdn.config_path.read_text()
        self.cdn.config_path.write_text(text.replace("activation_seconds = 0.5", "activation_seconds = 0"))
        for name in NAMES:
            self.cdn.add_domain(name)
            self.cdn.point(www(name), f"{name}.{SUFFIX}")
        self.sslctl("list", expected={0})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cdn.__exit__(kind, error, trace)

    # Commands

    def sslctl(self, *arguments: str, expected: Iterable[int]) -> Result:
        """Run a command to its end."""
        return self._expect(self.cdn.sslctl(*arguments), arguments, expected)

    def _expect(self, result: Result, arguments: Sequence[str], expected: Iterable[int]) -> Result:
        if result.exit_code not in expected:
            raise Violated(
                f"I8: {' '.join(arguments)} ended with {result.exit_code}: {result.stderr or result.stdout}"
            )
        return result

    def change(
        self,
        arguments: Sequence[str],
        wishes: dict[str, Intent],
        expected: Iterable[int],
        crash: Crash | None,
    ) -> int | None:
        """Run a command after which `wishes` hold. With `crash` it may be killed: then each holds, or does not.

        Gives the exit code, None for a killed one.
        """
        before = dict(self.wishes)
        for name, wish in wishes.items():
            self.ca.let_go(name, _names(name, wish))
        if crash is None:
            code = self.sslctl(*arguments, expected=expected).exit_code
        else:
            app = self.cdn.app()
            app.store = DyingStore(app.store, crash.fatal, before=crash.before)
            try:
                code = self._expect(self.cdn.sslctl(*arguments, app=app), arguments, expected).exit_code
            except Killed:
                self.crashes += 1
                recorded = self._recorded()
                for name, wish in wishes.items():
                    if recorded[name] not in (wish.facts, before[name].facts):
                        raise Violated(f"I3: {name} was neither changed nor left alone") from None
                    if recorded[name] == wish.facts:
                        self._wish(name, wish)
                return None
        if code not in (USAGE, UNUSABLE, NOT_MANAGED, TRY_LATER):
            for name, wish in wishes.items():
                self._wish(name, wish)
        return code

    def _wish(self, name: str, wish: Intent) -> None:
        before, self.wishes[name] = self.wishes[name], wish
        if wish.source == "text":
            self.ca.surpass(name)
        if wish.managed:
            self._remnants.pop(name, None)
        elif before.managed:
            self._outside.served_until.pop(name, None)

    def run(
        self, name: str, arguments: Sequence[str], wish: Intent, crash: Crash | None, *, passes: bool = True
    ) -> None:
        """Run a command that makes a pass over `name` or, without `passes`, only records it; see that it tells the truth."""
        healthy = passes and self._is_healthy(name, wish)
        code = self.change(arguments, {name: wish}, ONE, crash)
        if code is None:
            return
        status = self.status(name)
        if code != status:
            raise Violated(f"I8: {' '.join(arguments)} ended with {code}, and list says {status}")
        if healthy and code != 0:
            told = self.cdn.sslctl("view", name).stdout
            raise Violated(f"I7: nothing is wrong with {name}, and it is not in Success: {told}")
        if passes and not self._faulty:
            self._outside.unseen.discard(name)

    def delete(self, name: str, options: Sequence[str], crash: Crash | None) -> None:
        """Delete `name`, managed or not."""
        wish, installed = self.wishes[name], self.cdn.installed(name)
        expected = {0, USAGE, UNUSABLE, TRY_LATER} if wish.managed else {NOT_MANAGED}
        if "--revoke" in options and wish.managed:
            self.ca.surpass(name)
        elif wish.managed:
            expected -= {USAGE}
        self.change(
            ["delete", name, "--yes", *options], {name: replace(wish, managed=False)}, expected, crash
        )
        if wish.managed and not self.wishes[name].managed:
            self._remnants[name] = installed if "--keep-on-c4" in options else None

    def status(self, name: str) -> int:
        """Give the exit code that stands for what `list` says of `name`."""
        told = self._told()[name]
        also = told["reason"]["also"] if told["reason"] else None
        return _OF_STATUS[REASONS[Code(also)].status if also else told["status"]]

    def _told(self) -> dict[str, Any]:
        listed = self.sslctl("list", "--json", expected={0}).json["domains"]
        return {domain["domain"]: domain for domain in listed}

    # The outside

    def break_c4(self, fault: Fault) -> None:
        """Have C4 misbehave."""
        self._faulty = True
        self.cdn.c4.set_faults(fault)

    def heal_c4(self) -> None:
        """Have C4 behave again."""
        self._faulty = False
        self.cdn.c4.heal()

    def forget(self, name: str) -> None:
        """Have C4 lose the domain, and its certificate with it."""
        self.cdn.c4.delete_domain(name)
        self._unwell.add(name)
        self._outside.unseen.add(name)
        if name in self._remnants:
            self._remnants[name] = None

    def bring_back(self, name: str) -> None:
        """Have C4 know the domain again."""
        self.cdn.c4.create_domain(name, cname_target=f"{name}.{SUFFIX}")
        self.point(name, "here")

    def point(self, name: str, where: str) -> None:
        """Have DNS lead `name` here, elsewhere or nowhere, or fail."""
        self.cdn.clear_dns(name)
        if where == "failing":
            self.cdn.zone.spoil(name, DnsTrouble.SERVFAIL)
        elif where != "nowhere":
            self.cdn.point(name, f"{name}.{SUFFIX}" if where == "here" else ELSEWHERE)
        if where == "here" and self.cdn.c4.knows(name):
            self._unwell.discard(name)
        else:
            self._unwell.add(name)

    def move(self, seconds: float) -> None:
        """Move the clock, back too; never far from the right time."""
        self.clock.at = max(self.clock.at + timedelta(seconds=seconds), self._latest - _FARTHEST_BACK)
        self._latest = max(self._latest, self.clock.at)

    # What must hold

    def check(self) -> None:
        """Raise `Violated` where something does not hold."""
        for name in list(self._outside.unseen):
            if self.cdn.installed(name) == self._serving(name):
                self._outside.unseen.discard(name)
        self.ca.keep({serial for (serial,) in self._rows("SELECT serial FROM certificate")})
        recorded = self._recorded()
        found = [
            *self.ca.wrongs,
            *invariants.violations(
                self.cdn.folder / "state",
                self._outside,
                self.clock(),
                most_orders=lambda name: self.ca.justified[name],
                acknowledged=[name for name, wish in self.wishes.items() if wish.managed],
                healthy=(),
            ),
            *(
                f"I3: {name} is recorded as {recorded[name]}, wanted {wish.facts}"
                for name, wish in self.wishes.items()
                if recorded[name] != wish.facts
            ),
            *(
                f"I6: {name} was deleted, and C4 serves {self.cdn.installed(name)}, not {remnant}"
                for name, remnant in self._remnants.items()
                if self._instant and self.cdn.installed(name) != remnant
            ),
        ]
        if found:
            raise Violated("; ".join(found))

    def settle(self) -> None:
        """Heal everything, and require that three ticks bring all of it into order."""
        self.heal_c4()
        self.ca.troubles.clear()
        for name in NAMES:
            self.bring_back(name)
        # Discard waits for a person, what was pasted is never rechecked by itself, and what is well not until it is due.
        for name, told in self._told().items():
            is_left_alone = told["status"] == "Discard" or name in self._outside.unseen
            if is_left_alone or (told["source"] == "text" and told["status"] != "Success"):
                self.sslctl("recheck", name, expected=ONE)
        self.clock.at = self._latest = self._latest + _PAST_EVERY_RETRY
        for expected in (MANY, MANY, {0}):
            self.sslctl("daemon-tick", expected=expected)
            self.check()
            # Past the next try of what C4 took and has not activated yet.
            self.move(86_400)
        self.ca.refused = False
        self._outside.unseen.clear()
        for name, told in self._told().items():
            leaf = self._awaited(name)
            if leaf is not None and (told["status"], self.cdn.installed(name)) != (
                "Success",
                leaf.fingerprint,
            ):
                said = self.cdn.sslctl("view", name).stdout
                raise Violated(f"I7: all is healed, and C4 does not serve what {name} is to have: {said}")

    def _awaited(self, name: str) -> Leaf | None:
        """Give the leaf that C4 must serve for `name`; None where what was pasted has expired."""
        wish = self.wishes[name]
        if wish.source == "text":
            return wish.pasted if self._is_usable(wish) else None
        leaf = self.ca.latest(name)
        if leaf is None or set(leaf.names) != _names(name, wish):
            raise Violated(f"I7: all is healed, and {name} has no certificate for {wish.sans}")
        return leaf

    def _is_healthy(self, name: str, wish: Intent) -> bool:
        """Say whether a pass over `name` has nothing that it could stumble on."""
        is_calm = not (self._faulty or self.ca.refused or self.ca.troubles.get(name) or name in self._unwell)
        return self._instant and self._is_usable(wish) and is_calm

    def _is_usable(self, wish: Intent) -> bool:
        return wish.expires_at is None or wish.expires_at > self.clock()

    # Facts, read from the database itself

    def _recorded(self) -> dict[str, Facts]:
        pasted = """SELECT fingerprint FROM certificate WHERE domain_id = domain.id AND source = 'text'
            ORDER BY version DESC LIMIT 1"""
        rows = self._rows(f"SELECT name, deleted_at IS NULL, source, sans, ({pasted}) FROM domain")  # noqa: S608 - a constant
        known: dict[str, Facts] = {
            row[0]: (bool(row[1]), row[2], tuple(json.loads(row[3])), row[4]) for row in rows
        }
        return {name: known.get(name, Intent().facts) for name in NAMES}

    def _serving(self, name: str) -> str | None:
        sql = "SELECT fingerprint FROM certificate JOIN domain ON serving_id = certificate.id WHERE name = ?"
        return next((str(row[0]) for row in self._rows(sql, name)), None)

    def _rows(self, sql: str, *values: str) -> list[tuple[Any, ...]]:
        database = self.cdn.folder / "state" / "sslctl.db"
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            return connection.execute(sql, values).fetchall()


def www(name: str) -> str:
    """Give the other name that a certificate of `name` may carry."""
    return f"www.{name}"


def _names(name: str, wish: Intent) -> frozenset[str]:
    return frozenset({name, *wish.sans})
