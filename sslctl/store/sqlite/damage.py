"""The search for damage in an SQLite file. SQLite has no checksums.

A small file is searched as a whole, by SQLite's own `integrity_check`. It reads in one transaction, during which no other
process can commit, and it cannot go on where it was interrupted. So a large file is searched in steps: a table with few
rows as a whole, a larger one a few hundred rows at a time. Such rows are read whole, and must be in the order of their keys,
of the declared types, in each index of the table, and as their digest says. Only the search of a whole file or table finds
entries of an index that belong to no row; only that of a whole file finds a page that is used twice.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from sslctl.store.sql import rows
from sslctl.store.sqlite import schema
from sslctl.text import clean

Execute = Callable[[str, Sequence[object]], list[sqlite3.Row]]
"""A function that runs one statement, in a transaction of its own, and returns its rows."""

# SQLite needs about 0.2 s for it.
_SMALL_FILE_BYTES = 64 << 20
_STEPS_BETWEEN_CHECKS = 100_000
# SQLite needs about 0.2 s for a table of so many rows.
_FEW_ROWS = 50_000
_ROWS_A_STEP = 500
# Checking it also checks the list of free pages.
_SCHEMA = "sqlite_schema"
_TYPES = {"TEXT": str, "INTEGER": int, "REAL": float, "BLOB": bytes}


def find_whole(connection: sqlite3.Connection, seconds: float) -> str | None:
    """Search a small file for damage; return it, empty for none, None if it is too large or `seconds` are too few."""
    alteration = schema.find_alteration(connection)
    if alteration:
        return alteration
    (size,) = connection.execute(
        "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
    ).fetchone()
    if size > _SMALL_FILE_BYTES:
        return None
    end = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS_BETWEEN_CHECKS)
    try:
        # Unlike quick_check it compares the indexes with the rows: most data is in both.
        found: str = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return None
        raise
    finally:
        connection.set_progress_handler(None, 0)
    return "" if found == "ok" else found


@dataclass(frozen=True, slots=True)
class Place:
    """Where the search goes on: after the row `key` of `table`, or at its beginning if `key` is empty."""

    table: str
    key: tuple[int | str, ...] = ()

    def dump(self) -> str:
        """Return the place as text."""
        return json.dumps([self.table, *self.key])

    @staticmethod
    def load(text: str) -> Place:
        """Return the place in a text of `dump`; the beginning for any other text."""
        try:
            table, *key = json.loads(text)
            return Place(str(table), tuple(key))
        except (TypeError, ValueError):
            return START


START = Place(_SCHEMA)
"""The beginning of the file."""


class DamagedError(sqlite3.DatabaseError):
    """Damage that a step found."""


class DamageSearch:
    """A search for damage in steps. Each statement takes a fraction of a second; between two, other processes can commit."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute

    def step(self, place: Place) -> Place | None:
        """Search the next part of the file from `place`; return where the next step goes on, None at the end.

        Raise `DamagedError`, or another `sqlite3.DatabaseError`, if the part is damaged.
        """
        names = [_SCHEMA, *self._tables]
        # A table of that name may be gone since, in another version of the schema.
        position = names.index(place.table) if place.table in names else 0
        table = self._tables.get(names[position])
        after = place.key if table is not None and table.has_key(place.key) else ()
        if table is not None and (after or self._is_large(table)):
            last = self._search_rows(table, after)
            if last:
                return Place(table.name, last)
        else:
            self._search_table(names[position])
        return Place(names[position + 1]) if position + 1 < len(names) else None

    def search_domains(self, names: Sequence[str]) -> None:
        """Search the rows of the domains `names`, of their wanted and served certificates and of their open orders.

        Raise as `step` does.
        """
        ids = "SELECT id FROM domain WHERE name IN (SELECT value FROM json_each(?))"
        parts = {
            "domain": ids,
            "certificate": f"SELECT wanted_id FROM domain WHERE id IN ({ids})"  # noqa: S608 - constants
            f" UNION SELECT serving_id FROM domain WHERE id IN ({ids})",
            "acme_order": f"SELECT id FROM acme_order WHERE closed_at IS NULL AND domain_id IN ({ids})",  # noqa: S608 - likewise
        }
        for start in range(0, len(names), _ROWS_A_STEP):
            block = json.dumps(names[start : start + _ROWS_A_STEP])
            for table, sql in parts.items():
                condition, values = f"id IN ({sql})", (block,) * sql.count("?")
                self._read(self._tables[table], condition, values)
                self._require_indexed(self._tables[table], condition, values)

    def _search_table(self, name: str) -> None:
        found: str = self._execute(f'PRAGMA integrity_check("{name}")', ())[0][0]
        if found != "ok":
            raise DamagedError(found)

    def _search_rows(self, table: _Table, after: tuple[int | str, ...]) -> tuple[int | str, ...]:
        """Search the next rows of `table`; return the key of the last one, empty if there was none."""
        key = ", ".join(table.key)
        places = ", ".join("?" for _ in table.key)
        condition = f"({key}) > ({places})" if after else "true"
        keys = self._read(table, f"{condition} ORDER BY {key} LIMIT {_ROWS_A_STEP}", after)
        if not keys:
            return ()
        known = after
        for each in keys:
            if known and each <= known:
                raise DamagedError(f"row {_shown(each)} of {table.name} is out of order")
            known = each
        self._require_indexed(table, f"{condition} AND ({key}) <= ({places})", (*after, *keys[-1]))
        return keys[-1]

    def _read(self, table: _Table, condition: str, values: Sequence[object]) -> list[tuple[int | str, ...]]:
        """Read rows of `table` whole, and return their keys. Raise `DamagedError` for a value that cannot be right."""
        # Tables, columns and conditions are those of the schema, which is known to be ours.
        found = self._execute(f"SELECT * FROM {table.name} WHERE {condition}", values)  # noqa: S608 - see above
        keys = []
        for row in found:
            key = tuple(row[column] for column in table.key)
            for place, (column, kinds) in enumerate(table.columns.items()):
                if not isinstance(row[place], kinds):
                    raise DamagedError(f"row {_shown(key)} of {table.name} has no valid {column}")
            if table.name == "certificate":
                try:
                    rows.require_unchanged(row)
                except ValueError as error:
                    raise DamagedError(str(error)) from error
            keys.append(key)
        return keys

    def _require_indexed(self, table: _Table, condition: str, values: Sequence[object]) -> None:
        """Raise `DamagedError` if a row of `table` for which `condition` holds is missing from an index."""
        for index in table.indexes:
            missing = self._execute(index.find_missing(table, condition), values)
            if missing:
                raise DamagedError(f"row {_shown(tuple(missing[0]))} missing from index {index.name}")

    def _is_large(self, table: _Table) -> bool:
        sql = f"SELECT count(*) FROM (SELECT 1 FROM {table.name} LIMIT {_FEW_ROWS + 1})"  # noqa: S608 - of the schema
        return bool(self._execute(sql, ())[0][0] > _FEW_ROWS)

    @cached_property
    def _tables(self) -> dict[str, _Table]:
        found = self._execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name", ())
        names = [str(row[0]) for row in found if not row[0].startswith("sqlite_")]
        return {name: self._table(name) for name in names}

    def _table(self, name: str) -> _Table:
        info = self._execute('SELECT name, type, "notnull", pk FROM pragma_table_info(?)', (name,))
        key = tuple(str(row["name"]) for row in sorted(info, key=lambda row: row["pk"]) if row["pk"])
        columns: dict[str, tuple[type, ...]] = {}
        for row in info:
            kind = _TYPES[row["type"]]
            columns[row["name"]] = (kind,) if row["notnull"] or row["pk"] else (kind, type(None))
        return _Table(name, key, columns, tuple(self._indexes(name)))

    def _indexes(self, table: str) -> Iterator[_Index]:
        sql = """SELECT list.name, made.sql FROM pragma_index_list(?) AS list
            JOIN sqlite_schema AS made ON made.name = list.name WHERE list.origin <> 'pk'"""
        for name, text in self._execute(sql, (table,)):
            if text is None:
                info = self._execute("SELECT name FROM pragma_index_info(?)", (name,))
                yield _Index(str(name), tuple(str(row[0]) for row in info), "true")
            else:
                yield _parse_index(str(name), str(text))


@dataclass(frozen=True, slots=True)
class _Table:
    """A table: the columns of its primary key, the types of all columns in their order, and its other indexes."""

    name: str
    key: tuple[str, ...]
    columns: dict[str, tuple[type, ...]]
    indexes: tuple[_Index, ...]

    def has_key(self, key: Sequence[object]) -> bool:
        """Return whether `key` is of the right types."""
        kinds = [self.columns[column] for column in self.key]
        return len(key) == len(kinds) and all(map(isinstance, key, kinds))


@dataclass(frozen=True, slots=True)
class _Index:
    """An index of a table: its columns or expressions, and the condition for a row to be in it."""

    name: str
    columns: tuple[str, ...]
    condition: str

    def find_missing(self, table: _Table, condition: str) -> str:
        """Return the query for the key of a row of `table` for which `condition` holds and that is missing from the index."""
        key = ", ".join(table.key)
        wanted = ", ".join(
            f"{column} AS c{place}" for place, column in enumerate((*self.columns, *table.key))
        )
        same = " AND ".join(
            f"{column} IS wanted.c{place}" for place, column in enumerate((*self.columns, *table.key))
        )
        return f"""SELECT {key} FROM (SELECT {key}, {wanted} FROM {table.name} NOT INDEXED
            WHERE {condition} AND {self.condition}) AS wanted
            WHERE NOT EXISTS (SELECT 1 FROM {table.name} INDEXED BY {self.name} WHERE {same} AND {self.condition})
            LIMIT 1"""  # noqa: S608 - of the schema


def _parse_index(name: str, sql: str) -> _Index:
    """Return the index that the statement `sql` of the schema creates."""
    start = sql.index("(")
    depth, columns, begun = 0, list[str](), start + 1
    for place in range(start, len(sql)):
        if sql[place] == "(":
            depth += 1
        elif sql[place] == ")":
            depth -= 1
        if (depth == 1 and sql[place] == ",") or depth == 0:
            columns.append(sql[begun:place].strip())
            begun = place + 1
        if depth == 0:
            break
    condition = sql[begun:].strip().removeprefix("WHERE").strip()
    return _Index(name, tuple(columns), f"({condition})" if condition else "true")


def _shown(key: Sequence[object]) -> str:
    return ", ".join(clean(each) for each in key)
