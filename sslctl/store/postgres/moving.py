"""A PostgreSQL database as one of the two of a move (`sql.moving`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from sslctl.store.postgres import schema
from sslctl.store.postgres.connecting import connect
from sslctl.store.postgres.dialect import with_parameters
from sslctl.store.postgres.errors import translating
from sslctl.store.postgres.rows import make_rows
from sslctl.store.sql.connection import Cursor, Values
from sslctl.store.sql.moving import Record, Side, Table

_LOCK_SECONDS = 15
_BEGIN = f"BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'".encode()
_IDENTITIES = """SELECT table_name, column_name FROM information_schema.columns
    WHERE is_identity = 'YES' AND table_schema = current_schema()"""


class ServerSide(Side):
    """The database that `url` names; messages show it as `shown_as`. `tables` are those of a move."""

    def __init__(self, url: str, shown_as: str, tables: Sequence[Table]) -> None:
        self.shown_as = shown_as
        self._translating = partial(translating, url)
        self._tables = tables
        with self._translating():
            self._connection = connect(url)

    def run(self, sql: str, values: Values = ()) -> Cursor:
        with self._translating():
            return self._connection.cursor(row_factory=make_rows).execute(with_parameters(sql), values)

    def run_many(self, sql: str, values: Sequence[Record]) -> None:
        with self._translating():
            self._connection.cursor().executemany(with_parameters(sql), values)

    @contextmanager
    def freeze(self) -> Iterator[None]:
        # The lock first: it takes no snapshot, so what others commit before they let go of the tables is seen.
        names = ", ".join(["lease", *(table.name for table in self._tables)])
        with self._translating():
            try:
                self._connection.execute(_BEGIN)
                self._connection.execute(f"LOCK TABLE {names} IN EXCLUSIVE MODE".encode())
                yield
                self._connection.commit()
            finally:
                if not self._connection.closed:
                    self._connection.rollback()

    @contextmanager
    def step(self) -> Iterator[None]:
        with self._translating(), self._connection.transaction():
            yield

    def add(self, table: Table, columns: Sequence[str], rows: Sequence[Record]) -> None:
        copied = f"COPY {table.name} ({', '.join(columns)}) FROM STDIN".encode()
        with self._translating(), self._connection.cursor().copy(copied) as copy:
            for row in rows:
                copy.write_row(row)

    def is_marked(self) -> bool:
        with self._translating():
            version = schema.find_version(self._connection)
            if version != -schema.CURRENT:
                schema.require_current(self._connection)
            return version < 0

    def flag(self, *, is_on: bool) -> None:
        self.run("UPDATE schema_version SET version = ?", (-schema.CURRENT if is_on else schema.CURRENT,))

    def make(self) -> None:
        with self._translating():
            if not self.has_tables():
                schema.migrate(self._connection)

    def has_tables(self) -> bool:
        with self._translating():
            return schema.find_version(self._connection) != 0

    def complete(self) -> None:
        with self.step():
            for table, column in self.run(_IDENTITIES).fetchall():
                # Past the greatest id, as SQLite numbers the next row.
                self.run(
                    f"SELECT setval(pg_get_serial_sequence(?, ?), max({column})) FROM {table} HAVING count(*) > 0",  # noqa: S608 - names of our schema
                    (table, column),
                )
        # Without statistics every query reads whole tables, and before the first VACUUM no index answers without its table. The server would
        # do both after some minutes. A role that is not the owner is only told so.
        self.run(f"VACUUM (ANALYZE) {', '.join(table.name for table in self._tables)}")

    def close(self) -> None:
        self._connection.close()
