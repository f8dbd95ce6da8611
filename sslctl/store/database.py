"""One SQLite connection, its transactions, and its errors told as ours."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sslctl.errors import Busy, StateError
from sslctl.store import schema

_BUSY_SECONDS = 15.0
_OTHERS_WRITE = 0o022
T = TypeVar("T")


class Run(Protocol):
    """Runs one statement inside a transaction."""

    def __call__(self, sql: str, values: Any = (), /) -> sqlite3.Cursor:
        """Run `sql` with `values`, a tuple or a dict."""


class Database:
    """The SQLite file `path`, made where it is missing, with the schema of this version.

    One connection serves all threads of the process behind a lock: transactions are short, and none is held while
    anybody outside is asked.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            for place in (path.parent, path):
                _require_ours(place)
            # SQLite would make the file with the umask's mode; keys are sealed, but names are nobody's business either.
            path.touch(mode=0o600)
            self._connection = sqlite3.connect(
                path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise StateError(
                f"cannot open the database {path}: {error}", hint="state.dir names the folder"
            ) from error
        self._connection.row_factory = sqlite3.Row
        try:
            with self._telling():
                schema.prepare(self._connection, str(path))
        except BaseException:
            self._connection.close()
            raise

    def read(self, make: Callable[[sqlite3.Row], T], sql: str, values: Any = ()) -> list[T]:
        """Give what `make` reads out of each row of a query. Raises `StateError` where a row makes no sense to it."""
        with self._lock, self._telling():
            found = self._connection.execute(sql, values).fetchall()
        try:
            return [make(row) for row in found]
        except (TypeError, ValueError) as error:
            # SQLite has no checksums: a damaged page may still look like one.
            raise self._unreadable(error) from error

    @contextmanager
    def transaction(self) -> Iterator[Run]:
        """Run the block in one transaction, committed at its end; inside another one it is part of that."""
        with self._lock, self._telling():
            if self._connection.in_transaction:
                yield self._connection.execute
                return
            try:
                # Inside the block: Ctrl-C may come as soon as the transaction is open.
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection.execute
                self._connection.execute("COMMIT")
            except BaseException:
                # SQLite itself rolls back after some errors, a full disk among them.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            # What Python itself found, text that is no UTF-8, has no code.
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise Busy(
                    "the database is in use by another sslctl", hint="try again in a minute"
                ) from error
            raise StateError(f"cannot use the database {self._path}: {error}") from error
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            # SQLite may quote damaged text in its message.
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> StateError:
        return StateError(
            f"the database {self._path} cannot be read: {error}",
            hint="it was left as it is; restore a backup, or name another folder in state.dir",
        )


def _require_ours(place: Path) -> None:
    """Raise `StateError` where somebody else could put other state in the place of ours."""
    if place.is_symlink():
        raise StateError(f"{place} is a symbolic link", hint="name the real place in state.dir")
    if not place.exists():
        return
    state = place.stat()
    if state.st_uid not in (0, os.geteuid()) or state.st_mode & _OTHERS_WRITE:
        raise StateError(
            f"other users can change {place}",
            hint=f"give it to the user who runs sslctl, and chmod go-w {place}",
        )
