"""A state in PostgreSQL, for the contract suite of the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from sslctl.rules.limits import NO_LIMITS, Limits
from sslctl.store.keyring import Keyring
from sslctl.store.postgres.connecting import connect
from sslctl.store.postgres.dialect import with_parameters
from sslctl.store.postgres.store import PostgresStore
from tests.support.fakes import Clock
from tests.support.postgres import cluster
from tests.support.store_cases import PATIENCE, key_of

_TABLES = """SELECT table_name FROM information_schema.tables
    WHERE table_schema = 'public' AND table_name NOT IN ('lease', 'process') ORDER BY table_name"""


@dataclass(frozen=True)
class PostgresBackend:
    """A state in the database `name`, whose server has the sockets of `url`; `folder` is that of its files."""

    folder: Path
    name: str
    url: str

    @property
    def key_file(self) -> Path:
        """See `Backend`."""
        return key_of(self.folder)

    def open(
        self,
        clock: Callable[[], datetime] | None = None,
        *,
        actor: str = "tester (test)",
        ca: str = "",
        limits: Limits = NO_LIMITS,
    ) -> PostgresStore:
        """See `Backend`."""
        return PostgresStore(
            self.url,
            Keyring(self.key_file),
            clock=clock or Clock(),
            actor=actor,
            lock_folder=self.folder / "processes",
            limits={ca: limits},
            create=True,
        )

    @contextmanager
    def sql(
        self, *, guarded: bool = True, patience: float = PATIENCE
    ) -> Iterator[Callable[[str, Sequence[object]], list[Any]]]:
        """See `Backend`."""
        with connect(self.url) as connection, connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = {round(patience * 1000)}".encode())
            if not guarded:
                # Neither triggers nor references.
                connection.execute("SET LOCAL session_replication_role = replica")
            yield lambda statement, values: _rows(connection.execute(with_parameters(statement), values))

    def dump(self) -> str:
        """See `Backend`."""
        with connect(self.url) as connection:
            tables = [table for (table,) in connection.execute(_TABLES)]
            return "\n".join(
                f"{table}: {row}"
                for table in tables
                for row in sorted(map(repr, connection.execute(f"SELECT * FROM {table}".encode())))  # noqa: S608 - our tables
            )

    def save(self) -> str:
        """See `Backend`."""
        return cluster().new_database(self.name)

    def restore(self, saved: str) -> None:
        """See `Backend`."""
        cluster().drop(self.name)
        cluster().execute(f"CREATE DATABASE {self.name} TEMPLATE {saved}")

    @contextmanager
    def refusing_events(self) -> Iterator[None]:
        """See `Backend`."""
        with connect(self.url) as connection:
            connection.execute(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN RAISE EXCEPTION 'no more events'; END $$"
            )
            connection.execute("CREATE TRIGGER no_events BEFORE INSERT ON event EXECUTE FUNCTION refuse()")
            yield
            connection.execute("DROP FUNCTION refuse CASCADE")

    def require_intact(self) -> None:
        """See `Backend`. The server itself keeps references and pages whole."""

    def discard(self) -> None:
        """See `Backend`."""
        cluster().drop(self.name)


def _rows(cursor: psycopg.Cursor) -> list[Any]:
    return cursor.fetchall() if cursor.description else []


def new_state(folder: Path) -> PostgresBackend:
    """Return an empty state whose files are in `folder`."""
    name = cluster().new_database()
    return PostgresBackend(folder, name, cluster().url(name))
