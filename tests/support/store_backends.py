"""The implementations of the store that the contract suite runs, and what it needs of each beside `Store`.

To add an implementation, write a `Backend` for it and name it in `BACKENDS`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from sslctl.rules.limits import NO_LIMITS, Limits
from sslctl.store.interface import Store
from sslctl.store.keyring import Keyring
from sslctl.store.sqlite.store import SqliteStore
from tests.support.fakes import Clock
from tests.support.postgres_backend import new_state
from tests.support.store_cases import PATIENCE, database_of, dump, key_of, look_into

Sql = Callable[[str, Sequence[object]], list[Any]]
"""Runs one statement with values for `?`, and returns its rows as tuples."""


class Backend(Protocol):
    """One state in one database, used by several handles and processes. It can be pickled."""

    @property
    def key_file(self) -> Path:
        """The key file of the state."""

    def open(
        self,
        clock: Callable[[], datetime] | None = None,
        *,
        actor: str = "tester (test)",
        ca: str = "",
        limits: Limits = NO_LIMITS,
    ) -> Store:
        """Return another handle of the state, as another process would have. The first one makes the state."""

    def sql(self, *, guarded: bool = True, patience: float = PATIENCE) -> AbstractContextManager[Sql]:
        """Return a connection past the store: a block that is one transaction. Use SQL that all databases understand.

        Unless `guarded`, the database's own protection of the history is off in the block. `patience` is how long, in
        seconds, it waits for other transactions.
        """

    def dump(self) -> str:
        """Return all that the database holds, except claims, to compare it."""

    def save(self) -> object:
        """Return the database as it is, for `restore`. No handle is open."""

    def restore(self, saved: Any) -> None:
        """Put the database back as `save` returned it. No handle is open."""

    def refusing_events(self) -> AbstractContextManager[None]:
        """Return a block in which the database refuses every new event with the message "no more events"."""

    def require_intact(self) -> None:
        """Raise `AssertionError` if the database itself finds damage or a broken reference."""

    def discard(self) -> None:
        """Delete what the state has outside its folder. Handles may be open, and are of no more use."""


@dataclass(frozen=True)
class SqliteBackend:
    """A state in `folder`, in SQLite."""

    folder: Path

    @property
    def key_file(self) -> Path:
        """See `Backend`."""
        return key_of(self.folder)

    @property
    def _path(self) -> Path:
        return database_of(self.folder)

    def open(
        self,
        clock: Callable[[], datetime] | None = None,
        *,
        actor: str = "tester (test)",
        ca: str = "",
        limits: Limits = NO_LIMITS,
    ) -> SqliteStore:
        """See `Backend`."""
        keyring = Keyring(self.key_file)
        return SqliteStore(
            self._path, keyring, clock=clock or Clock(), actor=actor, limits={ca: limits}, create=True
        )

    @contextmanager
    def sql(self, *, guarded: bool = True, patience: float = PATIENCE) -> Iterator[Sql]:
        """See `Backend`."""
        with closing(sqlite3.connect(self._path, isolation_level=None, timeout=patience)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("BEGIN IMMEDIATE")
            triggers = connection.execute(
                "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
            ).fetchall()
            for name, _ in () if guarded else triggers:
                connection.execute(f"DROP TRIGGER {name}")
            yield lambda statement, values: connection.execute(statement, values).fetchall()
            for _, definition in () if guarded else triggers:
                connection.execute(definition)
            connection.execute("COMMIT")

    def dump(self) -> str:
        """See `Backend`."""
        return dump(self._path)

    def save(self) -> bytes:
        """See `Backend`."""
        return self._path.read_bytes()

    def restore(self, saved: bytes) -> None:
        """See `Backend`."""
        self._path.write_bytes(saved)

    @contextmanager
    def refusing_events(self) -> Iterator[None]:
        """See `Backend`."""
        with look_into(self._path) as connection:
            connection.execute(
                "CREATE TRIGGER no_events BEFORE INSERT ON event BEGIN SELECT RAISE (ABORT, 'no more events'); END"
            )
        yield
        with look_into(self._path) as connection:
            connection.execute("DROP TRIGGER no_events")

    def require_intact(self) -> None:
        """See `Backend`."""
        with look_into(self._path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []

    def discard(self) -> None:
        """See `Backend`."""


BACKENDS: dict[str, Callable[[Path], Backend]] = {"sqlite": SqliteBackend, "postgres": new_state}
"""Each implementation by its name: a function that returns an empty state, given an empty folder for its files."""
