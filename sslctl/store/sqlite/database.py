"""One SQLite connection, its transactions, and its errors told as ours."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sslctl.errors import Busy, SslctlError, StateError
from sslctl.store.sql.connection import Run, T
from sslctl.store.sqlite import schema
from sslctl.store.sqlite.dialect import SqliteDialect
from sslctl.system.files import sync_folder

_BUSY_SECONDS = 15.0
# A group ends when nobody waits to join it, and at the latest here: other processes want to write too.
_MOST_MEMBERS = 64
_LONGEST_SECONDS = 0.05
_LOOK_AGAIN_SECONDS = 0.1
_OTHERS_WRITE = 0o022
_STEPS_BETWEEN_LOOKS = 100_000


class _Group:
    """The transactions of several threads that share one commit. Changed under the connection's lock alone."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.members = 0
        self.ended = threading.Event()
        self.is_kept = False
        self.error: sqlite3.Error | None = None

    @property
    def is_full(self) -> bool:
        """Say whether nobody more may join."""
        return self.members >= _MOST_MEMBERS or time.monotonic() - self.began > _LONGEST_SECONDS


class Database:
    """The SQLite file `path`, made where it is missing, with the schema of this version.

    With `read_only` nothing is made or changed, and a file that is missing or has an older schema is refused.

    One connection serves all threads of the process behind a lock: transactions are short, and none is held while
    anybody outside is asked.

    A commit waits for the disk several times, so threads share it: each block runs inside a savepoint of one SQLite
    transaction, whoever finds nobody waiting behind it commits for all, and each caller returns once the commit that
    holds its work succeeded, or raises when it failed. A block that raises takes back its own work alone. Where SQLite
    itself takes back everything (a full disk, an I/O error), everyone in the group is told.

    On one connection a read sees what others of the open group wrote and may yet lose. It is given out when that
    group's commit succeeded: nobody ever acts on what is not on the disk. Inside a block, what was read goes nowhere
    before the block's own commit, which is the same one; only an error that the block raises comes at once.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.dialect = SqliteDialect()
        self._path = path
        self._lock = threading.RLock()
        self._holder: int | None = None
        self._arriving: set[int] = set()
        self._group: _Group | None = None
        try:
            if not read_only:
                _make_ready(path)
            uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
            self._connection = sqlite3.connect(
                uri, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=True
            )
        except (OSError, sqlite3.Error) as error:
            raise StateError(
                f"cannot open the database {path}: {error}", hint="state.dir names the folder"
            ) from error
        self._connection.row_factory = sqlite3.Row
        try:
            with self._telling():
                (schema.require_current if read_only else schema.prepare)(self._connection, str(path))
        except BaseException:
            self._connection.close()
            raise

    def read(self, make: Callable[[sqlite3.Row], T], sql: str, values: Any = ()) -> list[T]:
        """Give what `make` reads out of each row of a query. Raises `StateError` where a row makes no sense to it."""
        with self._telling(), self._lock:
            found = self._connection.execute(sql, values).fetchall()
            group = None if self._is_mine else self._group
        if group is not None:
            self._await(group)
        try:
            return [make(row) for row in found]
        except (LookupError, TypeError, ValueError) as error:
            # SQLite has no checksums: a damaged page may still look like one.
            raise self._unreadable(error) from error

    @contextmanager
    def transaction(self) -> Iterator[Run]:
        """Run the block in one transaction, committed when this returns; inside another one it is part of that."""
        if self._is_mine:
            with self._telling():
                yield self._connection.execute
            return
        with self._telling(), self._turn() as group:
            yield self._connection.execute
        self._await(group)

    def find_damage(self, seconds: float) -> str | None:
        """Look for damage to the file for so long; give what was found, empty for none, None where that was too short."""
        end = time.monotonic() + seconds
        with self._telling(), self._lock:
            self._connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS_BETWEEN_LOOKS)
            try:
                # Unlike quick_check it compares the indexes with the rows: most facts stand in both.
                found: str = self._connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                    return None
                raise
            finally:
                self._connection.set_progress_handler(None, 0)
        return "" if found == "ok" else found

    def check_integrity(self, seconds: float) -> bool:
        """Look for damage for so long, and say whether that was long enough for all. Raises `StateError` for damage."""
        found = self.find_damage(seconds)
        if found:
            raise self._unreadable(sqlite3.DatabaseError(found))
        return found is not None

    @property
    def _is_mine(self) -> bool:
        """Say whether this thread is inside a transaction."""
        return self._holder == threading.get_ident()

    @contextmanager
    def _turn(self) -> Iterator[_Group]:
        """Run the block as a member of the open group, or of a new one; commit where nobody waits to join."""
        thread = threading.get_ident()
        self._arriving.add(thread)
        try:
            with self._lock:
                self._arriving.discard(thread)
                self._holder = thread
                try:
                    # Inside the block: Ctrl-C may come as soon as the transaction is open.
                    yield self._join()
                    self._connection.execute("RELEASE member")
                except BaseException as error:
                    self._take_back(error)
                    raise
                finally:
                    self._holder = None
                    self._leave()
        finally:
            self._arriving.discard(thread)

    def _join(self) -> _Group:
        # Ctrl-C may have come while a group was ended: those who wait for it see that it is no more.
        if self._group is None or not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")
            self._group = _Group()
        self._connection.execute("SAVEPOINT member")
        self._group.members += 1
        return self._group

    def _take_back(self, error: BaseException) -> None:
        """Undo what the member that raised `error` wrote; where that cannot be done apart, what all wrote."""
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK TO member")
                self._connection.execute("RELEASE member")
        except sqlite3.Error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        # SQLite itself rolls back after some errors, a full disk among them.
        if (
            self._group is not None
            and not self._connection.in_transaction
            and isinstance(error, sqlite3.Error)
        ):
            self._group.error = error

    def _leave(self) -> None:
        group = self._group
        if group is not None and (group.is_full or not self._arriving or not self._connection.in_transaction):
            self._end(group)

    def _end(self, group: _Group) -> None:
        """Commit for all of `group`, and let them know."""
        is_open = self._connection.in_transaction
        try:
            if is_open:
                self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            group.error, is_open = error, False
        finally:
            # Ctrl-C may have come before the commit.
            group.is_kept = is_open and not self._connection.in_transaction
            self._group = None
            try:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            finally:
                group.ended.set()

    def _await(self, group: _Group) -> None:
        """Return once the commit of `group` succeeded. Raises what it failed with."""
        while not group.ended.wait(_LOOK_AGAIN_SECONDS):
            # The one who was to commit may have been interrupted while it waited for its turn, or while it did.
            with self._lock:
                if self._group is not group:
                    break
                self._end(group)
        if not group.is_kept:
            raise self._told(group.error) from group.error

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._group is not None:
                self._end(self._group)
            self._connection.close()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise self._told(error) from error

    def _told(self, error: Exception | None) -> SslctlError:
        """Give what went wrong in SQLite as one of our errors."""
        if isinstance(error, sqlite3.OperationalError):
            # What Python itself found, text that is no UTF-8, has no code.
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                return Busy("the database is in use by another sslctl", hint="try again in a minute")
            return StateError(f"cannot use the database {self._path}: {error}")
        if error is None:
            return StateError(f"cannot use the database {self._path}: interrupted")
        # SQLite may quote damaged text in its message.
        return self._unreadable(error)

    def _unreadable(self, error: Exception) -> StateError:
        return StateError(
            f"the database {self._path} cannot be read: {error}",
            hint="it was left as it is; restore a backup, or name another folder in state.dir",
        )


def _make_ready(path: Path) -> None:
    _make_folder(path.parent)
    for place in (path.parent, path):
        _require_ours(place)
    # SQLite would make the file with the umask's mode; keys are sealed, but names are nobody's business either.
    path.touch(mode=0o600)


def _make_folder(folder: Path) -> None:
    """Make `folder` where it is missing, and what is missing above it, for good: a power cut must not take it back."""
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for place in made:
        sync_folder(place.parent)


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
