"""An SQLite database as one of the two of a move (`sql.moving`), and the tables that a move copies."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from sslctl.errors import StateError
from sslctl.store.folder import require_ours
from sslctl.store.sql.connection import Cursor, Values
from sslctl.store.sql.moving import Record, Side, Table
from sslctl.store.sqlite import migrations, schema
from sslctl.store.sqlite.migrations import MIGRATIONS
from sslctl.store.sqlite.waiting import busy_error, is_locked
from sslctl.text import clean

_PATIENCE = 15.0
# Claims end with the processes of the source.
_NOT_COPIED = "lease"
_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"


class FileSide(Side):
    """The database `path`; with `create` it is made if it is missing."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        self.shown_as = str(path)
        for place in (path.parent, path):
            require_ours(place)
        try:
            if create:
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            uri = f"{path.absolute().as_uri()}?mode=rw"
            self._connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_PATIENCE)
        except (OSError, sqlite3.Error) as error:
            raise StateError(f"cannot open the database {path}: {error}", hint="check the folder") from error
        self._connection.row_factory = sqlite3.Row

    def run(self, sql: str, values: Values = ()) -> Cursor:
        with self._translating():
            return self._connection.execute(sql, values)

    def run_many(self, sql: str, values: Sequence[Record]) -> None:
        with self._translating():
            self._connection.executemany(sql, values)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.run("BEGIN IMMEDIATE")
        try:
            yield
            self.run("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    # Others can read meanwhile: only a commit locks readers out.
    freeze = step = _transaction

    def add(self, table: Table, columns: Sequence[str], rows: Sequence[Record]) -> None:
        places = ", ".join("?" * len(columns))
        sql = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608 - names of our schema
        self.run_many(sql, rows)

    def is_marked(self) -> bool:
        if self._pragma("application_id") != schema.MOVED_ID:
            with self._translating():
                schema.require_current(self._connection, self.shown_as)
            return False
        return True

    def flag(self, *, is_on: bool) -> None:
        number = schema.MOVED_ID if is_on else schema.APPLICATION_ID
        self.run(f"PRAGMA application_id = {number}")

    def make(self) -> None:
        if not self.has_tables():
            with self._translating():
                schema.prepare(self._connection, self.shown_as, may_be_empty=True)
        for pragma in ("synchronous = EXTRA", "secure_delete = ON", "trusted_schema = OFF"):
            self.run(f"PRAGMA {pragma}")
        # The order of the tables keeps references whole, and `complete` checks them.
        self.run("PRAGMA foreign_keys = OFF")

    def has_tables(self) -> bool:
        return bool(self.run("SELECT count(*) FROM sqlite_schema").fetchone()[0])

    def complete(self) -> None:
        if self.run("PRAGMA foreign_key_check").fetchone() or self._pragma("integrity_check(1)") != "ok":
            raise StateError(
                f"the copy {self.shown_as} is damaged", hint="delete it, and run the command again"
            )

    def close(self) -> None:
        self._connection.close()

    def _pragma(self, name: str) -> object:
        return self.run(f"PRAGMA {name}").fetchone()[0]

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if is_locked(error):
                raise busy_error(self.path) from error
            raise StateError(
                f"cannot use the database {self.shown_as}: {clean(error)}", hint="nothing was moved"
            ) from error


def find_tables() -> list[Table]:
    """Return the tables of the current schema that a move copies, parents first."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrations.add_functions(connection)
        for number in range(len(MIGRATIONS)):
            migrations.apply(connection, number)
        names = [name for (name,) in connection.execute(_TABLES) if name != _NOT_COPIED]
        needs = {name: _references(connection, name) for name in names}
        return [_describe(connection, name, needs, later) for name, later in _ordered(names, needs)]


def _references(connection: sqlite3.Connection, table: str) -> dict[str, str]:
    """Return the columns that refer to other tables, each with that table."""
    found = connection.execute(f"PRAGMA foreign_key_list({table})")
    return {column: parent for _, _, parent, column, *_ in found}


def _ordered(names: list[str], needs: dict[str, dict[str, str]]) -> Iterator[tuple[str, set[str]]]:
    """Yield each table after those that it needs, and the tables after it. `domain` and `certificate` need each other."""
    left = set(names)
    while left:
        free = sorted(name for name in left if not left & set(needs[name].values()))
        name = free[0] if free else "domain"
        left.remove(name)
        yield name, set(left)


def _describe(
    connection: sqlite3.Connection, name: str, needs: dict[str, dict[str, str]], later: set[str]
) -> Table:
    columns = connection.execute(f"PRAGMA table_info({name})").fetchall()
    return Table(
        name,
        tuple(column[1] for column in columns),
        tuple(column[1] for column in sorted(columns, key=lambda column: column[5]) if column[5]),
        frozenset(column for column, parent in needs[name].items() if parent in later),
        any(name in parents.values() for parents in needs.values()),
    )
