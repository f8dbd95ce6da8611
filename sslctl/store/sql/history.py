"""The history of all domains as one chain: whoever edits it in the file, without the key file, is found out.

The chain has a state of 32 bytes. Each event moves it on: HMAC-SHA256, with a key of the chain's own, over the state
before and the event. The event keeps the first half of what came out, its MAC; the whole is kept in the one row of
`audit_chain`. So a changed, removed, added or moved event does not fit the MACs from there on, and events cut off at the
end do not fit the state, which cannot be put back: the MACs tell only half of each. An event that is added after a cut
goes on from the state as it stands, and so shows the cut for good.

What cannot be seen here is a whole older file in the place of this one: for that, a head (`Head`) is noted elsewhere.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from sslctl.errors import StateError
from sslctl.rules.model import Audit, Domain, Event, Head
from sslctl.store.keyring import Keyring
from sslctl.store.sql import rows
from sslctl.store.sql.connection import Connection, Row, Run
from sslctl.text import clean, instant

_BLOCK = 1000
_LOWEST_ID = -(1 << 63)
_MAC_BYTES = 16
_RECORD = (
    "event.id, event.domain_id, domain.name, event.at, event.actor, event.kind, event.detail, event.version"
)
_FROM = "FROM event LEFT JOIN domain ON domain.id = event.domain_id"
_INSERT = """INSERT INTO event (id, domain_id, at, actor, kind, detail, version, mac)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
_RESTORE = "restore a backup from before, and find out who could write to the database"

# What of an event the chain covers, in the order of `_RECORD`.
Record = tuple[int, int, str | None, str, str, str, str, int | None]
_encode = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Chain:
    """The chain's secret, and its beginning: at what time, and over how many events that were there already."""

    key: bytes
    begun_at: str
    inherited: int

    def first(self) -> bytes:
        """Give the state before the first event."""
        return hmac.digest(self.key, _encode([self.begun_at, self.inherited]).encode(), "sha256")

    def advance(self, state: bytes, record: Record) -> bytes:
        """Give the state after the event `record`."""
        return hmac.digest(self.key, state + _encode(record).encode(), "sha256")

    def sealed_by(self, keyring: Keyring) -> bytes:
        """Give all of it, sealed."""
        return keyring.encrypt(
            _encode({"key": self.key.hex(), "begun_at": self.begun_at, "inherited": self.inherited})
        )


def mac_of(state: bytes) -> str:
    """Give what an event keeps of the state after it."""
    return state[:_MAC_BYTES].hex()


def opened(keyring: Keyring, sealed: bytes) -> Chain:
    """Give what `Chain.sealed_by` gave. Raises `StateError`."""
    try:
        content = json.loads(keyring.decrypt(sealed))
        return Chain(bytes.fromhex(content["key"]), content["begun_at"], content["inherited"])
    except (LookupError, TypeError, ValueError) as error:
        raise StateError("the key of the audit trail is not one", hint=_RESTORE) from error


class History:
    """The part of `Store` that writes events and looks at all of them."""

    _database: Connection
    _keyring: Keyring
    _clock: Callable[[], datetime]
    _actor: str
    _chain: Chain | None = None

    # Writing

    def _begin_chain(self) -> None:
        """Begin the chain where that was not done yet: a new database, or one from before there was a chain."""
        if not self._database.read(tuple, "SELECT 1 FROM audit_chain"):
            with self._database.transaction() as run:
                self._stand(run)

    def _write_event(self, domain_id: int, kind: str, detail: str, version: int | None = None) -> None:
        with self._database.transaction() as run:
            name = run("SELECT name FROM domain WHERE id = ?", (domain_id,)).fetchone()[0]
            self._append(run, {name: domain_id}, kind, detail, version)

    def _append(
        self, run: Run, domains: Mapping[str, int], kind: str, detail: str, version: int | None = None
    ) -> None:
        """Write the same event for each of `domains`, names with their ids."""
        chain, state = self._stand(run)
        at = instant(self._clock())
        last = run("SELECT coalesce(max(id), 0) FROM event").fetchone()[0]
        for identity, (name, domain_id) in enumerate(domains.items(), last + 1):
            told = (at, self._actor, kind, detail, version)
            state = chain.advance(state, (identity, domain_id, name, *told))
            run(_INSERT, (identity, domain_id, *told, mac_of(state)))
        run("UPDATE audit_chain SET state = ?", (state,))

    def _stand(self, run: Run) -> tuple[Chain, bytes]:
        """Give the chain and its state; begin it where there is none."""
        row = run("SELECT sealed, state FROM audit_chain").fetchone()
        if row is None:
            return self._begin(run)
        if self._chain is None:
            self._chain = opened(self._keyring, row["sealed"])
        return self._chain, row["state"]

    def _begin(self, run: Run) -> tuple[Chain, bytes]:
        """Make the chain's key, and take in the events that are there already."""
        count, chained = run("SELECT count(*), count(mac) FROM event").fetchone()
        if chained:
            raise StateError("the audit trail has lost its key", hint=_RESTORE)
        chain = Chain(secrets.token_bytes(32), instant(self._clock()), count)
        state, following = chain.first(), _LOWEST_ID
        # Few at a time: there may be millions.
        while block := run(_block("event.id >= ?"), (following,)).fetchall():
            for row in block:
                state = chain.advance(state, _record(row))
                run("UPDATE event SET mac = ? WHERE id = ?", (mac_of(state), row["id"]))
            following = block[-1]["id"] + 1
        run("INSERT INTO audit_chain VALUES (1, ?, ?)", (chain.sealed_by(self._keyring), state))
        return chain, state

    # Reading

    def audit_trail(
        self, *, since: datetime | None = None, actor: str = "", domain: Domain | None = None
    ) -> Iterator[tuple[str, Event]]:
        wanted = "(:since IS NULL OR event.at >= :since) AND instr(event.actor, :actor)"
        wanted += "" if domain is None else " AND event.domain_id = :domain"
        sql = f"SELECT event.*, domain.name {_FROM} WHERE {wanted} AND event.id >= :following"
        sql += f" ORDER BY event.id LIMIT {_BLOCK}"
        values = {
            "since": None if since is None else instant(since),
            "actor": actor,
            "domain": None if domain is None else domain.id,
            "following": _LOWEST_ID,
        }
        while block := self._database.read(rows.told_event_of, sql, values):
            yield from block
            values["following"] = block[-1][1].id + 1

    def verify_history(self, noted: Head | None = None) -> Audit:
        # What is written while this reads is not looked at: it comes after `last`.
        sql = "SELECT sealed, state, (SELECT max(id) FROM event) AS last FROM audit_chain"
        standing = self._database.read(dict, sql)
        if not standing:
            raise StateError(
                "the audit trail has not begun, or has lost its key", hint="put the key file back"
            )
        stand = standing[0]
        chain = opened(self._keyring, stand["sealed"])
        state, intact, head, is_noted = chain.first(), 0, None, noted is None

        def ended(broken: str = "") -> Audit:
            return Audit(intact, head, rows.time_of(chain.begun_at), chain.inherited, broken)

        for record, mac in self._recorded(stand["last"]):
            state = chain.advance(state, record)
            if mac != mac_of(state):
                return ended(f"{_shown(record)} is not what was written next")
            intact, head = intact + 1, Head(record[0], mac)
            if noted is not None and noted.id == head.id:
                is_noted = noted == head
                if not is_noted:
                    return ended(f"{_shown(record)} is another one than when {noted} was noted")
        if state != stand["state"]:
            return ended(f"events after {head or 'the beginning'} are missing")
        return ended("" if is_noted else f"event {noted and noted.id}, which was noted as a head, is missing")

    def _recorded(self, last: int | None) -> Iterator[tuple[Record, str | None]]:
        """Give all events up to the id `last`, each with its MAC."""
        following = _LOWEST_ID
        while last is not None and following <= last:
            sql, values = _block("event.id BETWEEN ? AND ?"), (following, last)
            block = self._database.read(lambda row: (_record(row), row["mac"]), sql, values)
            if not block:
                return
            yield from block
            following = block[-1][0][0] + 1


def _block(where: str) -> str:
    return f"SELECT {_RECORD}, event.mac {_FROM} WHERE {where} ORDER BY event.id LIMIT {_BLOCK}"


def _record(row: Row) -> Record:
    *record, _ = row
    return tuple(record)


def _shown(record: Record) -> str:
    identity, _, name, at, _, kind, *_ = record
    return f"event {identity} ({clean(at)}, {clean(name)}, {clean(kind)})"
