"""A run of sslctl in a whole CDN with a fake CA, compared with a small model.

The model has what a person would remember: which domains were added, with which names and source, and what the CA
issued. It does not know how sslctl works.
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
from sslctl.rules.reasons import REASONS, Code, Status
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
USAGE, UNUSABLE, NOT_MANAGED, TRY_LATER = 2, 8, 9, 75
# TRY_LATER: a step did not answer, or a bad answer is not believed yet.
ONE = frozenset({*_OF_STATUS.values(), TRY_LATER})
MANY = frozenset({0, 5, 7, TRY_LATER})
# Longer than any pause and any delay before a retry.
_PAST_EVERY_RETRY = timedelta(days=8)
_FARTHEST_BACK = timedelta(hours=12)


Facts = tuple[bool, str, tuple[str, ...], str | None]


@dataclass(frozen=True, slots=True)
class Intent:
    """What a person asked for: the recorded facts of a domain. `pasted` is the leaf of its newest text certificate."""

    managed: bool = False
    source: str = "c4"
    sans: tuple[str, ...] = ()
    pasted: Leaf | None = None

    @property
    def facts(self) -> Facts:
        """What must be recorded of the domain."""
        return self.managed, self.source, self.sans, None if self.pasted is None else self.pasted.fingerprint

    @property
    def expires_at(self) -> datetime | None:
        """When the text certificate that it must have expires, or None."""
        return self.pasted.not_after if self.source == "text" and self.pasted else None


@dataclass(frozen=True, slots=True)
class Crash:
    """A kill right before or after the `fatal`-th write."""

    fatal: int
    before: bool


class Violated(AssertionError):
    """An invariant does not hold."""


class ModelRun:
    """A run beside its model; use as a context manager. `activation_seconds` is how long C4 takes for an upload."""

    def __init__(self, folder: Path, *, activation_seconds: float = 0) -> None:
        self.clock = Clock()
        self._latest = self.clock.at
        # The clocks of C4 and the CA are right, whatever happens to ours.
        self.cdn = Cdn(
            folder, self.clock, activation_seconds=activation_seconds, outside=lambda: self._latest
        )
        self.ca = AuditingCa(self.clock, lambda: self._latest)
        self.cdn.issuer = self.ca
        self.intents = dict.fromkeys(NAMES, Intent())
        self.crashes = 0
        # What the edge must serve for deleted domains.
        self._remnants: dict[str, str | None] = {}
        self._unhealthy: set[str] = set()
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
        """Run a command. Raise `Violated` unless its exit code is in `expected`."""
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
        intents: dict[str, Intent],
        expected: Iterable[int],
        crash: Crash | None,
    ) -> int | None:
        """Run a command after which `intents` hold. With `crash` it may be killed: then each of them may or may not hold.

        Return the exit code, or None if it was killed.
        """
        before = dict(self.intents)
        for name, intent in intents.items():
            self.ca.let_go(name, _names(name, intent))
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
                for name, intent in intents.items():
                    if recorded[name] not in (intent.facts, before[name].facts):
                        raise Violated(f"I3: {name} was neither changed nor left unchanged") from None
                    if recorded[name] == intent.facts:
                        self._record_intent(name, intent)
                return None
        # TRY_LATER of a command that makes passes says only that a pass could not confirm something.
        refused = (
            (USAGE, UNUSABLE, NOT_MANAGED)
            if arguments[0] != "delete"
            else (USAGE, UNUSABLE, NOT_MANAGED, TRY_LATER)
        )
        if code not in refused:
            for name, intent in intents.items():
                self._record_intent(name, intent)
        return code

    def _record_intent(self, name: str, intent: Intent) -> None:
        before, self.intents[name] = self.intents[name], intent
        if intent.source == "text":
            self.ca.surpass(name)
        if intent.managed:
            self._remnants.pop(name, None)
        elif before.managed:
            self._outside.served_until.pop(name, None)

    def run(
        self, name: str, arguments: Sequence[str], intent: Intent, crash: Crash | None, *, passes: bool = True
    ) -> None:
        """Run a command that makes a pass over `name`, or without `passes` only records it; check its exit code."""
        healthy = passes and self._is_healthy(name, intent)
        code = self.change(arguments, {name: intent}, ONE, crash)
        if code is None:
            return
        # What was only recorded is done.
        status = self.status(name, renewing="--force-renew" in arguments) if passes else 0
        if code != status:
            raise Violated(f"I8: {' '.join(arguments)} ended with {code}, and list says {status}")
        if healthy and code != 0:
            output = self.cdn.sslctl("view", name).stdout
            raise Violated(f"I7: {name} is healthy and not in Success: {output}")
        if passes and not self._faulty and code != TRY_LATER:
            self._outside.unseen.discard(name)

    def delete(self, name: str, options: Sequence[str], crash: Crash | None) -> None:
        """Run `delete` for `name`, managed or not."""
        intent, installed = self.intents[name], self.cdn.installed(name)
        expected = {0, USAGE, UNUSABLE, TRY_LATER} if intent.managed else {NOT_MANAGED}
        if "--revoke" in options and intent.managed:
            self.ca.surpass(name)
        elif intent.managed:
            expected -= {USAGE}
        self.change(
            ["delete", name, "--yes", *options], {name: replace(intent, managed=False)}, expected, crash
        )
        if intent.managed and not self.intents[name].managed:
            self._remnants[name] = installed if "--keep-on-c4" in options else None

    def status(self, name: str, *, renewing: bool = False) -> int:
        """Return the exit code for what `list` prints of `name`; with `renewing`, a warning may have prevented an order."""
        listed = self._listed()[name]
        if listed["unconfirmed"] or any(warning["suspected"] for warning in listed["warnings"]):
            return TRY_LATER
        prevented = [REASONS[Code(warning["code"])].status for warning in listed["warnings"]]
        if renewing and listed["status"] == Status.SUCCESS and Status.FAILURE in prevented:
            return _OF_STATUS[Status.FAILURE]
        also = listed["reason"]["also"] if listed["reason"] else None
        return _OF_STATUS[REASONS[Code(also)].status if also else listed["status"]]

    def _listed(self) -> dict[str, Any]:
        listed = self.sslctl("list", "--json", expected={0}).json["domains"]
        return {domain["domain"]: domain for domain in listed}

    # C4, the CA, DNS and the clock

    def break_c4(self, fault: Fault) -> None:
        """Inject `fault` into C4."""
        self._faulty = True
        self.cdn.c4.set_faults(fault)

    def heal_c4(self) -> None:
        """Remove all faults of C4."""
        self._faulty = False
        self.cdn.c4.heal()

    def forget(self, name: str) -> None:
        """Delete the domain and its certificate in C4."""
        self.cdn.c4.delete_domain(name)
        self._unhealthy.add(name)
        self._outside.unseen.add(name)
        if name in self._remnants:
            self._remnants[name] = None

    def bring_back(self, name: str) -> None:
        """Create the domain in C4 again."""
        self.cdn.c4.create_domain(name, cname_target=f"{name}.{SUFFIX}")
        self.point(name, "here")

    def point(self, name: str, where: str) -> None:
        """Set the DNS of `name`: to the CDN (`here`), `elsewhere`, `nowhere` or `failing`."""
        self.cdn.clear_dns(name)
        if where == "failing":
            self.cdn.zone.spoil(name, DnsTrouble.SERVFAIL)
        elif where != "nowhere":
            self.cdn.point(name, f"{name}.{SUFFIX}" if where == "here" else ELSEWHERE)
        if where == "here" and self.cdn.c4.knows(name):
            self._unhealthy.discard(name)
        else:
            self._unhealthy.add(name)

    def move(self, seconds: float) -> None:
        """Move sslctl's clock, also backwards, but never far from the right time."""
        self.clock.at = max(self.clock.at + timedelta(seconds=seconds), self._latest - _FARTHEST_BACK)
        self._latest = max(self._latest, self.clock.at)

    # Invariants

    def check(self) -> None:
        """Raise `Violated` if an invariant does not hold."""
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
                acknowledged=[name for name, intent in self.intents.items() if intent.managed],
                healthy=(),
            ),
            *(
                f"I3: {name} is recorded as {recorded[name]}, wanted {intent.facts}"
                for name, intent in self.intents.items()
                if recorded[name] != intent.facts
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
        """Remove all faults and run three ticks. Raise `Violated` unless every domain is then as the model wants it."""
        self.heal_c4()
        self.ca.troubles.clear()
        for name in NAMES:
            self.bring_back(name)
        # Discard waits for a person, text certificates are not rechecked automatically, healthy ones only when they are due.
        for name, listed in self._listed().items():
            is_left_alone = listed["status"] == "Discard" or name in self._outside.unseen
            if is_left_alone or (listed["source"] == "text" and listed["status"] != "Success"):
                self.sslctl("recheck", name, expected=ONE)
        self.clock.at = self._latest = self._latest + _PAST_EVERY_RETRY
        for expected in (MANY, MANY, {0}):
            self.sslctl("daemon-tick", expected=expected)
            self.check()
            # Past the next check of an upload that C4 has not activated yet.
            self.move(86_400)
        self.ca.refused = False
        self._outside.unseen.clear()
        for name, listed in self._listed().items():
            leaf = self._awaited(name)
            if leaf is not None and (listed["status"], self.cdn.installed(name)) != (
                "Success",
                leaf.fingerprint,
            ):
                output = self.cdn.sslctl("view", name).stdout
                raise Violated(f"I7: no fault is left, and C4 does not serve what {name} must have: {output}")

    def _awaited(self, name: str) -> Leaf | None:
        """Return the leaf that C4 must serve for `name`; None if its text certificate has expired."""
        intent = self.intents[name]
        if intent.source == "text":
            return intent.pasted if self._is_usable(intent) else None
        leaf = self.ca.latest(name)
        if leaf is None or set(leaf.names) != _names(name, intent):
            raise Violated(f"I7: no fault is left, and {name} has no certificate for {intent.sans}")
        return leaf

    def _is_healthy(self, name: str, intent: Intent) -> bool:
        """Return whether no fault can affect a pass over `name`."""
        is_calm = not (
            self._faulty or self.ca.refused or self.ca.troubles.get(name) or name in self._unhealthy
        )
        return self._instant and self._is_usable(intent) and is_calm

    def _is_usable(self, intent: Intent) -> bool:
        return intent.expires_at is None or intent.expires_at > self.clock()

    # Facts, read directly from the database

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
    """Return the additional name that a certificate of `name` may have."""
    return f"www.{name}"


def _names(name: str, intent: Intent) -> frozenset[str]:
    return frozenset({name, *intent.sans})
