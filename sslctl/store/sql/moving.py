"""The move of a whole state from one SQL database into another: its rows, and the mark on both that says where the state is.

Tables are copied in blocks of their primary key, each in a transaction of the target, which is first compared with what is
there. So a second run goes on where the first one was interrupted, and corrects what has changed in the source meanwhile.

A database that is marked (`sql.moved`) is refused by every command: the target until it is complete, and the source from then on.

PostgreSQL stores no NUL, so a copy has U+FFFD in its place; the audit chain knows that (`rules.audit_chain`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, cast

from sslctl.errors import StateError
from sslctl.rules.audit_chain import Record as EventRecord
from sslctl.store.keyring import Keyring
from sslctl.store.sql.connection import Connection, Cursor, Run, T, Values
from sslctl.store.sql.history import SqlHistory
from sslctl.store.sql.moved import MOVED, MOVING, SELECT_MARK
from sslctl.text import clean

BLOCK = 1000
_USES = ("domain", "certificate", "acme_order", "event")
_HISTORY = "event"
_LONGEST = 4096

Record = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table, with its columns and its primary key. Parents come before it.

    `late` are the columns that refer to tables after it: they are filled when those are copied. Rows of other tables refer to
    one that `is_referenced`.
    """

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    late: frozenset[str]
    is_referenced: bool

    def key_of(self, row: Record) -> Record:
        """Return the primary key of a row, which begins with it."""
        return row[: len(self.key)]

    def chosen(self, *, with_late: bool) -> tuple[str, ...]:
        """Return the columns, the primary key first."""
        return self.key + tuple(
            each for each in self.columns if each not in self.key and (with_late or each not in self.late)
        )


class Side(ABC):
    """One of the two databases of a move. Raise `StateError` and `StateBusy`."""

    shown_as: str
    """The database as people are shown it."""

    @abstractmethod
    def run(self, sql: str, values: Values = ()) -> Cursor:
        """Run one statement of common SQL, inside a transaction if there is one."""

    @abstractmethod
    def freeze(self) -> AbstractContextManager[None]:
        """Return a block that is one transaction: it reads the state of one moment, and nobody else writes meanwhile."""

    @abstractmethod
    def step(self) -> AbstractContextManager[None]:
        """Return a block that is one short transaction."""

    @abstractmethod
    def run_many(self, sql: str, values: Sequence[Record]) -> None:
        """Run one statement for each of `values`."""

    @abstractmethod
    def add(self, table: Table, columns: Sequence[str], rows: Sequence[Record]) -> None:
        """Insert new rows."""

    @abstractmethod
    def is_marked(self) -> bool:
        """Return whether the database is marked as moved or moving. Raise `StateError` if it is no state of this version."""

    @abstractmethod
    def flag(self, *, is_on: bool) -> None:
        """Change what `is_marked` returns."""

    @abstractmethod
    def make(self) -> None:
        """Make the tables if the database is empty."""

    @abstractmethod
    def has_tables(self) -> bool:
        """Return whether the database is not empty."""

    @abstractmethod
    def complete(self) -> None:
        """Finish the copy, outside of transactions: what is not in rows, and the database's own work on it, such as its check."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""

    def mark(self) -> tuple[str, str] | None:
        """Return the mark, `MOVING` or `MOVED`, and its detail; None if there is none."""
        if not self.is_marked():
            return None
        found = self.run(SELECT_MARK).fetchone()
        return (str(found[0]), str(found[1])) if found else (MOVING, "")

    def set_mark(self, kind: str, detail: str, at: str) -> None:
        """Mark the database, inside a transaction."""
        self.run("DELETE FROM lease")
        self.run("INSERT INTO lease (name, owner, until) VALUES (?, ?, ?)", (kind, detail, at))
        self.flag(is_on=True)

    def remove_mark(self) -> None:
        """Let commands use the database again, inside a transaction."""
        self.run("DELETE FROM lease")
        self.flag(is_on=False)

    def is_used(self) -> bool:
        """Return whether there is or was a domain."""
        return any(self.run(f"SELECT 1 FROM {table} LIMIT 1").fetchone() for table in _USES)  # noqa: S608 - constants

    def identity(self) -> str:
        """Return what distinguishes this state from others: of the secrets that were made with it. Empty for none."""
        sql = "SELECT sealed FROM key_check UNION ALL SELECT sealed FROM audit_chain"
        found = sorted(bytes(row[0]) for row in self.run(sql).fetchall())
        return sha256(b" ".join(found)).hexdigest()[:32] if len(found) == 2 else ""  # noqa: PLR2004 - one of each

    def rows(
        self, table: Table, columns: Sequence[str], after: Record | None, until: Record | None
    ) -> list[Record]:
        """Return the rows behind the key `after`: up to the key `until`, or one block."""
        key, places = ", ".join(table.key), ", ".join("?" * len(table.key))
        where, values = list[str](), list[object]()
        for sign, bound in ((">", after), ("<=", until)):
            if bound is not None:
                where.append(f"({key}) {sign} ({places})")
                values += bound
        sql = f"SELECT {', '.join(columns)} FROM {table.name}"  # noqa: S608 - names of our schema
        if where:
            sql += f" WHERE {' AND '.join(where)}"
        sql += f" ORDER BY {key}" + ("" if until is not None else f" LIMIT {BLOCK}")
        return [tuple(map(_storable, row)) for row in self.run(sql, values).fetchall()]

    def count(self, table: Table) -> int:
        """Return the number of rows."""
        return int(self.run(f"SELECT count(*) FROM {table.name}").fetchone()[0])  # noqa: S608 - names of our schema

    def delete(self, table: Table, keys: Sequence[Record]) -> None:
        """Delete rows."""
        self.run_many(f"DELETE FROM {table.name} WHERE {_is_key(table)}", keys)  # noqa: S608 - names of our schema

    def update(self, table: Table, columns: Sequence[str], rows: Sequence[Record]) -> None:
        """Change rows that exist; `columns` begin with the key."""
        length = len(table.key)
        changes = ", ".join(f"{column} = ?" for column in columns[length:])
        sql = f"UPDATE {table.name} SET {changes} WHERE {_is_key(table)}"  # noqa: S608 - names of our schema
        self.run_many(sql, [row[length:] + row[:length] for row in rows])


def _storable(value: Any) -> Any:
    """Return a value as every database can store it."""
    is_text_with_nul = isinstance(value, str) and "\0" in value
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if is_text_with_nul else value


def _is_key(table: Table) -> str:
    return " AND ".join(f"{column} = ?" for column in table.key)


class _Read:
    """A side as `SqlHistory` uses it, inside a transaction if it writes."""

    def __init__(self, side: Side) -> None:
        self._side = side

    def read(self, make: Callable[[Any], T], sql: str, values: Values = ()) -> list[T]:
        """See `Connection.read`."""
        return [make(row) for row in self._side.run(sql, values).fetchall()]

    def at_commit(self, work: Callable[[Run], object]) -> None:
        """See `Connection.at_commit`. Nobody else appends events to a marked database."""
        work(self._side.run)


class ChainOf(SqlHistory):
    """The history in one of the databases: to verify it, with a call of `on_block` after each block, and to record the move."""

    def __init__(
        self,
        side: Side,
        keyring: Keyring,
        *,
        clock: Callable[[], datetime],
        actor: str,
        on_block: Callable[[str, int], None] = lambda _table, _rows: None,
    ) -> None:
        self._side = side
        self._database = cast("Connection", _Read(side))
        self._keyring = keyring
        self._clock = clock
        self._actor = actor
        self._on_block = on_block

    def chained_events(self, after: int, last: int | None) -> Iterator[tuple[EventRecord, str | None]]:
        for number, event in enumerate(super().chained_events(after, last), 1):
            if number % BLOCK == 0:
                self._on_block(_HISTORY, BLOCK)
            yield event

    def record(self, detail: str) -> None:
        """Record that the state was moved, inside a transaction."""
        self._append_general_event(MOVED, detail)

    def take_over_move(self, target: Side, history: Table) -> None:
        """Append the last event of `target`, inside a transaction, if it is the one that `record` made there."""
        columns = history.chosen(with_late=True)
        last = self._side.run("SELECT coalesce(max(id), 0) FROM event").fetchone()[0]
        sql = f"SELECT {', '.join(columns)} FROM event WHERE id > ? ORDER BY id LIMIT 2"  # noqa: S608 - names of our schema
        found = target.run(sql, (last,)).fetchall()
        if [row["kind"] for row in found] == [MOVED]:
            self._side.add(history, columns, [tuple(row) for row in found])
            state = target.run("SELECT state FROM audit_chain").fetchone()[0]
            self._side.run("UPDATE audit_chain SET state = ?", (state,))


def copy(source: Side, target: Side, tables: Sequence[Table], on_block: Callable[[str, int], None]) -> int:
    """Make the rows of `target` those of `source`; return how many were written.

    After each block call `on_block` with the table and the number of the block's rows. Raise `StateError` if the history in
    `target` is another one.
    """
    written = 0
    for table in tables:
        written += _copy_table(source, target, table, table.chosen(with_late=False), on_block)
    for table in tables:
        if table.late:
            _copy_table(source, target, table, table.chosen(with_late=True), on_block)
    return written


def _copy_table(
    source: Side, target: Side, table: Table, columns: Sequence[str], on_block: Callable[[str, int], None]
) -> int:
    last: Record | None = None
    written = 0
    while block := source.rows(table, columns, last, None):
        end = table.key_of(block[-1])
        with target.step():
            written += _write(target, table, columns, block, target.rows(table, columns, last, end))
        last = end
        on_block(table.name, len(block))
    while left := target.rows(table, columns, last, None):
        with target.step():
            _write(target, table, columns, [], left)
    return written


def _write(
    target: Side, table: Table, columns: Sequence[str], block: Sequence[Record], found: Sequence[Record]
) -> int:
    """Replace the rows `found` in the target by those of `block`; return how many were written."""
    before, after = ({table.key_of(row): row for row in rows} for rows in (found, block))
    changed = [row for row in block if before.get(table.key_of(row), row) != row]
    gone = [key for key in before if key not in after]
    if table.name == _HISTORY and (changed or gone):
        raise StateError(
            f"{target.shown_as} has events that are not in this state",
            hint="it is a copy of another state: name an empty database",
        )
    new = [row for row in block if table.key_of(row) not in before]
    if not table.is_referenced:
        # Rows may have exchanged what is unique among them.
        gone += [table.key_of(row) for row in changed]
        new, changed = sorted([*new, *changed], key=table.key_of), []
    if gone:
        target.delete(table, gone)
    if changed:
        target.update(table, columns, changed)
    if new:
        target.add(table, columns, new)
    return len(new) + len(changed)


def compare(
    source: Side, target: Side, tables: Sequence[Table], on_block: Callable[[str, int], None], hint: str
) -> int:
    """Compare every row of every table; return their number. Raise `StateError` naming the first table that differs, with `hint`."""
    number = 0
    for table in tables:
        columns = table.chosen(with_late=True)
        for ours, theirs in _pairs(source, target, table, columns):
            if ours != theirs:
                raise StateError(
                    f"the table {table.name} in {clean(target.shown_as, _LONGEST)} is not that of {clean(source.shown_as, _LONGEST)}",
                    hint=hint,
                )
            number += len(ours)
            on_block(table.name, len(ours))
    return number


def _pairs(
    source: Side, target: Side, table: Table, columns: Sequence[str]
) -> Iterator[tuple[list[Record], list[Record]]]:
    last: Record | None = None
    while block := source.rows(table, columns, last, None):
        end = table.key_of(block[-1])
        yield block, target.rows(table, columns, last, end)
        last = end
    yield [], target.rows(table, columns, last, None)
