"""The history of all domains, as one audit chain (`rules.audit_chain`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from sslctl.errors import StateError
from sslctl.rules import audit_chain
from sslctl.rules.audit_chain import Audit, Chain, Head, Record, Walk, mac_of
from sslctl.rules.history_seal import HistoryCut, Seal
from sslctl.rules.model import Domain, Event
from sslctl.store.sql import rows
from sslctl.store.sql.connection import Row, Run
from sslctl.store.sql.part import SqlPart
from sslctl.store.sql.values import time_of
from sslctl.text import instant

# Time, actor, kind, detail and version.
_Content = tuple[str, str, str, str, int | None]

_BLOCK = 1000
_LOWEST_ID = -(1 << 63)
_LAST = "SELECT coalesce(max(id), 0) FROM event"
_RECORD = (
    "event.id, event.domain_id, domain.name, event.at, event.actor, event.kind, event.detail, event.version"
)
# Events up to the newest cut are in archives, and are deleted by and by.
_CUT = f"coalesce((SELECT cut FROM history_seal ORDER BY number DESC LIMIT 1), {_LOWEST_ID + 1})"  # noqa: S608 - a constant
_FROM = "FROM event LEFT JOIN domain ON domain.id = event.domain_id"
_INSERT = """INSERT INTO event (id, domain_id, at, actor, kind, detail, version, mac)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
_RESTORE = "restore an earlier backup, and find out who could write to the database"


class SqlHistory(SqlPart):
    """The store's `History`."""

    _chain: Chain | None = None

    # Writing

    def record_event(self, domain: Domain, kind: str, detail: str, version: int | None = None) -> None:
        self._append_event(domain.id, kind, detail, version)

    def _append_event(self, domain_id: int, kind: str, detail: str, version: int | None = None) -> None:
        with self._database.transaction() as run:
            name = run("SELECT name FROM domain WHERE id = ?", (domain_id,)).fetchone()[0]
            self._append({name: domain_id}, kind, detail, version)

    def _append(self, domains: Mapping[str, int], kind: str, detail: str, version: int | None = None) -> None:
        """Append the same event for each of `domains`, names with their ids."""
        self._append_all(domains.items(), kind, detail, version)

    def _append_general_event(self, kind: str, detail: str) -> None:
        """Append an event that concerns no single domain."""
        self._append_all([(None, None)], kind, detail, None)

    def _append_all(
        self,
        subjects: Iterable[tuple[str | None, int | None]],
        kind: str,
        detail: str,
        version: int | None,
    ) -> None:
        """Append the same event for each of `subjects`: a domain's name and id, or None and None."""
        # PostgreSQL stores no NUL, and the chain must be of what is stored.
        kind, detail = (text.replace("\0", "\N{REPLACEMENT CHARACTER}") for text in (kind, detail))
        content: _Content = (instant(self._clock()), self._actor, kind, detail, version)
        self._database.at_commit(lambda run: self._chain_events(run, subjects, content))

    def _chain_events(
        self, run: Run, subjects: Iterable[tuple[str | None, int | None]], content: _Content
    ) -> None:
        chain, state = self._chain_and_state(run)
        last = run(_LAST).fetchone()[0]
        for identity, (name, domain_id) in enumerate(subjects, last + 1):
            state = chain.advance(state, (identity, domain_id, name, *content))
            run(_INSERT, (identity, domain_id, *content, mac_of(state)))
        run("UPDATE audit_chain SET state = ?", (state,))

    def _require_chain(self) -> None:
        """Begin the chain if there is none: in a new database, or in one from before the chain existed."""
        if not self._database.read(tuple, "SELECT 1 FROM audit_chain"):
            with self._database.transaction():
                self._database.at_commit(self._chain_and_state)

    def _chain_and_state(self, run: Run) -> tuple[Chain, bytes]:
        """Return the chain and its state; begin it if there is none."""
        row = run("SELECT sealed, state FROM audit_chain").fetchone()
        if row is None:
            return self._begin(run)
        if self._chain is None:
            self._chain = self._decrypt_chain(row["sealed"])
        return self._chain, row["state"]

    def _decrypt_chain(self, token: bytes) -> Chain:
        text = self._keyring.decrypt(token)
        try:
            return Chain.from_json(text)
        except ValueError as error:
            raise StateError("the key of the audit trail is not one", hint=_RESTORE) from error

    def _begin(self, run: Run) -> tuple[Chain, bytes]:
        """Make the chain's key, and chain the events that exist."""
        count, chained = run("SELECT count(*), count(mac) FROM event").fetchone()
        if chained:
            raise StateError("the audit trail has lost its key", hint=_RESTORE)
        chain = Chain.begin(instant(self._clock()), count)
        state, following = chain.first(), _LOWEST_ID
        # In blocks: there may be millions.
        while block := run(_block("event.id >= ?"), (following,)).fetchall():
            for row in block:
                state = chain.advance(state, _record(row))
                run("UPDATE event SET mac = ? WHERE id = ?", (mac_of(state), row["id"]))
            following = block[-1]["id"] + 1
        token = self._keyring.encrypt(chain.to_json())
        run("INSERT INTO audit_chain (only_row, sealed, state) VALUES (1, ?, ?)", (token, state))
        return chain, state

    # Reading

    def events(self, domain: Domain) -> list[Event]:
        sql = f"SELECT * FROM event WHERE domain_id = ? AND id > {_CUT} ORDER BY id"  # noqa: S608 - constants
        return self._database.read(rows.event_of, sql, (domain.id,))

    def last_event(self) -> int:
        return self._database.read(lambda row: int(row[0]), _LAST)[0]

    def audit_trail(
        self,
        *,
        after: int | None = None,
        since: datetime | None = None,
        actor: str = "",
        domain: Domain | None = None,
    ) -> Iterator[tuple[str | None, Event]]:
        following = _LOWEST_ID if after is None else after + 1
        where, values = (
            ["event.id >= :following", f"event.id > {_CUT}"],
            dict[str, object](following=following),
        )
        if since is not None:
            where.append("event.at >= :since")
            values["since"] = instant(since)
        if actor:
            where.append("replace(event.actor, :actor, '') <> event.actor")
            values["actor"] = actor
        if domain is not None:
            where.append("event.domain_id = :domain")
            values["domain"] = domain.id
        sql = f"""SELECT event.*, domain.name {_FROM} WHERE {" AND ".join(where)}
            ORDER BY event.id LIMIT {_BLOCK}"""
        while block := self._database.read(rows.named_event_of, sql, values):
            yield from block
            values["following"] = block[-1][1].id + 1

    def verify_history(self, noted: Head | None = None) -> Audit:
        while True:
            seals = self.seals()
            found = self._verify(seals[-1] if seals else None, noted)
            # A seal that was made meanwhile had its events deleted.
            if not found.broken or self.seals()[len(seals) :] == []:
                return found

    def _verify(self, seal: Seal | None, noted: Head | None) -> Audit:
        # Events that are written in the meantime are not read: they come after `last`.
        sql = "SELECT state, (SELECT max(id) FROM event) AS last FROM audit_chain"
        found = self._database.read(lambda row: (row["state"], row["last"]), sql)
        walk = self.walk_after(seal)
        state, last = found[0]
        events = self.chained_events(0 if seal is None else seal.cut, last)
        return audit_chain.verify(walk, events, state, noted)

    def walk_after(self, seal: Seal | None) -> Walk:
        found = self._database.read(lambda row: row["sealed"], "SELECT sealed FROM audit_chain")
        if not found:
            raise StateError(
                "the audit trail has not begun, or has lost its key", hint="put the key file back"
            )
        chain = self._decrypt_chain(found[0])
        return Walk(chain) if seal is None else Walk(chain, bytes.fromhex(seal.state), seal.head)

    def chained_events(self, after: int, last: int | None) -> Iterator[tuple[Record, str | None]]:
        following = first_after(after)
        while last is not None and following <= last:
            sql, values = _block("event.id BETWEEN ? AND ?"), (following, last)
            block = self._database.read(lambda row: (_record(row), row["mac"]), sql, values)
            if not block:
                return
            yield from block
            following = block[-1][0][0] + 1

    def seals(self) -> list[Seal]:
        found = self._database.read(
            tuple, "SELECT number, cut, until, sealed FROM history_seal ORDER BY number"
        )
        seals: list[Seal] = []
        for number, cut, until, token in found:
            try:
                seal = Seal.from_json(self._keyring.decrypt(token))
            except ValueError as error:
                raise StateError(f"the seal of archive {number} is not one", hint=_RESTORE) from error
            before = seals[-1].cut if seals else 0
            if (seal.number, seal.cut, seal.until, seal.after) != (
                len(seals) + 1,
                cut,
                until,
                before,
            ) or number != seal.number:
                raise StateError(
                    f"the seal of archive {len(seals) + 1} was changed or is missing", hint=_RESTORE
                )
            seals.append(seal)
        return seals

    def history_cut(self) -> HistoryCut | None:
        sql = "SELECT cut, until FROM history_seal ORDER BY number DESC LIMIT 1"
        found = self._database.read(lambda row: HistoryCut(row["cut"], time_of(row["until"])), sql)
        return found[0] if found else None


def first_after(event: int) -> int:
    """Return the lowest id that follows `event`, 0 for the beginning. No event of ours has an id below 1."""
    return event + 1 if event > 0 else _LOWEST_ID


def _block(where: str) -> str:
    return f"SELECT {_RECORD}, event.mac {_FROM} WHERE {where} ORDER BY event.id LIMIT {_BLOCK}"


def _record(row: Row) -> Record:
    *record, _ = row
    return tuple(record)
