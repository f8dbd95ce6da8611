"""One SQLite connection for all threads of a process: its transactions, groups of commits, and errors."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sslctl.errors import MachineLimit, SslctlError, StateError
from sslctl.store.folder import make_folder, require_ours
from sslctl.store.sql.connection import Run, Serial, T
from sslctl.store.sqlite import damage, schema
from sslctl.store.sqlite.creation import make_database
from sslctl.store.sqlite.damage import DamageSearch, Place
from sslctl.store.sqlite.dialect import SqliteDialect
from sslctl.store.sqlite.presence import MAKE_HINT, find_gap
from sslctl.store.sqlite.waiting import SQLITE_SECONDS, LockWait, Waiting, busy_error, is_locked
from sslctl.system.limits import find_file_limit, lock_limit

OLDEST_SQLITE = (3, 39)
"""The oldest SQLite with `IS DISTINCT FROM`. Debian 12 has 3.40."""

# A group ends when no thread waits to join it, and at the latest here: other processes want to write too.
_MOST_MEMBERS = 64
_LONGEST_SECONDS = 0.05
_POLL_SECONDS = 0.1
_LOCK_ERRORS = frozenset(
    {sqlite3.SQLITE_IOERR_LOCK, sqlite3.SQLITE_IOERR_RDLOCK, sqlite3.SQLITE_IOERR_UNLOCK}
)


class _Group:
    """The transactions of several threads that share one commit. It is changed only under the connection's lock."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.members = 0
        self.ended = threading.Event()
        self.is_committed = False
        self.error: sqlite3.Error | None = None

    @property
    def is_full(self) -> bool:
        """Whether no further thread may join."""
        return self.members >= _MOST_MEMBERS or time.monotonic() - self.began > _LONGEST_SECONDS


class Database:
    """The SQLite file `path`, with the schema of this version.

    A file that is missing or empty is refused, unless `create`. With `read_only` nothing is changed, and a file with an
    older schema is refused.

    `waiting` is how long to wait while another process has locked the file. Then `StateBusy` is raised, by every method
    that reads or writes.

    One connection behind a lock serves all threads of the process: transactions are short, and none is open during a
    network call.

    A commit waits for the disk several times, so threads share commits as a group:

    1. Each block runs inside a savepoint of one SQLite transaction.
    2. The thread that leaves its block and finds no other waiting commits for the whole group.
    3. Each caller returns after the commit that holds its work, or raises the error of that commit.

    A block that raises rolls back its own work only. If SQLite rolls back everything (full disk, I/O error), every member
    of the group raises.

    On one connection a read sees uncommitted work of the open group. So reads outside a block return only after the group
    has committed: no one acts on what is not on the disk. Reads inside a block return at once, because their result leaves
    the block only after the same commit.
    """

    def __init__(
        self, path: Path, *, create: bool = False, read_only: bool = False, waiting: Waiting | None = None
    ) -> None:
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise StateError(
                f"SQLite 3.39 or newer is needed, and this Python has {sqlite3.sqlite_version}",
                hint="use a Python with a newer SQLite, such as Debian 12's",
            )
        self.dialect = SqliteDialect()
        self._path = path
        self._lock = threading.RLock()
        self._holder: int | None = None
        self._arriving: set[int] = set()
        self._group: _Group | None = None
        waiting = waiting or Waiting()
        self._closing = threading.Event()
        self._reads = LockWait(path, waiting.read_seconds, waiting, self._closing)
        self._writes = LockWait(path, waiting.write_seconds, waiting, self._closing)
        try:
            if not read_only:
                _prepare_file(path, create=create)
            gap = find_gap(path)
            if gap and not create:
                raise StateError(f"there is no state in {path.parent}: {path.name} {gap}", hint=MAKE_HINT)
            uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
            self._connection = sqlite3.connect(
                uri, timeout=SQLITE_SECONDS, isolation_level=None, check_same_thread=False, uri=True
            )
        except (OSError, sqlite3.Error) as error:
            raise StateError(
                f"cannot open the database {path}: {error}", hint="state.dir names the folder"
            ) from error
        self._connection.row_factory = sqlite3.Row
        try:
            with self._translating_errors():
                self._reads.run(lambda: self._check_schema(read_only=read_only, may_be_empty=bool(gap)))
        except BaseException:
            self._connection.close()
            raise

    def _check_schema(self, *, read_only: bool, may_be_empty: bool) -> None:
        if read_only:
            schema.require_current(self._connection, str(self._path))
        else:
            schema.prepare(self._connection, str(self._path), may_be_empty=may_be_empty)

    def read(self, make: Callable[[sqlite3.Row], T], sql: str, values: Any = ()) -> list[T]:
        """Return the result of `make` for each row of a query. Raise `StateError` if it cannot read a row."""
        with self._translating_errors(), self._lock:
            found = self._reads.run(lambda: self._connection.execute(sql, values).fetchall())
            self._reads.succeeded()
            group = None if self._is_mine else self._group
        if group is not None:
            self._await(group)
        try:
            return [make(row) for row in found]
        except (LookupError, TypeError, ValueError) as error:
            # SQLite has no checksums: a damaged page may look valid.
            raise self._unreadable(error) from error

    @contextmanager
    def transaction(self) -> Iterator[Run]:
        """Run the block in one transaction, committed at its end. A nested block is part of the outer transaction."""
        if self._is_mine:
            with self._translating_errors():
                yield self._connection.execute
            return
        with self._translating_errors(), self._member() as group:
            yield self._connection.execute
        self._await(group)

    def serialise(self, what: Serial) -> None:
        """Do nothing: there is one transaction at a time."""

    def share(self, what: Serial) -> None:
        """Do nothing: there is one transaction at a time."""

    def at_commit(self, work: Callable[[Run], object]) -> None:
        """Run `work` at once: no other transaction can wait for this one while it waits for another."""
        work(self._connection.execute)

    def find_damage(self, seconds: float) -> str | None:
        """Search a small file for damage for at most `seconds`; return it, empty for none, None if not all was searched."""
        with self._translating_errors(), self._lock:
            return self._reads.run(lambda: damage.find_whole(self._connection, seconds))

    def check_integrity(self, seconds: float) -> bool:
        """Do the same; return whether all was searched. Raise `StateError` for damage."""
        found = self.find_damage(seconds)
        if found:
            raise self._unreadable(sqlite3.DatabaseError(found))
        return found is not None

    def search_on(self, place: Place, seconds: float) -> Place | None:
        """Search a file of any size for damage for about `seconds`, from `place`, in short transactions.

        Return where to go on, None at the end. Raise `StateError` for damage.
        """
        end = time.monotonic() + seconds
        search, left = DamageSearch(self._fetch), place
        with self._translating_errors():
            while True:
                following = search.step(left)
                if following is None or time.monotonic() > end:
                    return following
                left = following

    def check_domains(self, names: Sequence[str]) -> None:
        """Search what belongs to the domains `names` for damage; see `Maintenance.check_domains`."""
        with self._translating_errors():
            DamageSearch(self._fetch).search_domains(names)

    def _fetch(self, sql: str, values: Sequence[object]) -> list[sqlite3.Row]:
        """Return the rows of a query of what is committed."""
        with self._lock:
            return self._reads.run(lambda: self._connection.execute(sql, values).fetchall())

    @property
    def _is_mine(self) -> bool:
        """Whether this thread is inside a transaction."""
        return self._holder == threading.get_ident()

    @contextmanager
    def _member(self) -> Iterator[_Group]:
        """Run the block as a member of the open group, or of a new one. Commit if no thread waits to join."""
        thread = threading.get_ident()
        self._arriving.add(thread)
        try:
            with self._lock:
                self._arriving.discard(thread)
                self._holder = thread
                try:
                    # Inside the try: Ctrl-C may arrive as soon as the transaction is open.
                    yield self._join()
                    self._connection.execute("RELEASE member")
                except BaseException as error:
                    self._roll_back(error)
                    raise
                finally:
                    self._holder = None
                    self._leave()
        finally:
            self._arriving.discard(thread)

    def _join(self) -> _Group:
        # If Ctrl-C arrived while a group ended, `_await` finds that the group is gone.
        if self._group is None or not self._connection.in_transaction:
            self._writes.run(lambda: self._connection.execute("BEGIN IMMEDIATE"))
            try:
                # While this process waited, the state may have been moved.
                schema.require_here(self._connection, str(self._path))
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._group = _Group()
        self._connection.execute("SAVEPOINT member")
        self._group.members += 1
        return self._group

    def _roll_back(self, error: BaseException) -> None:
        """Roll back the work of the member that raised `error`; if that is impossible, the work of the whole group."""
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
        """Commit for all of `group`, and wake its members."""
        is_open = self._connection.in_transaction
        try:
            if is_open:
                self._writes.run(lambda: self._connection.execute("COMMIT"))
                self._writes.succeeded()
        except sqlite3.Error as error:
            group.error, is_open = error, False
        finally:
            # Ctrl-C may have arrived before the commit.
            group.is_committed = is_open and not self._connection.in_transaction
            self._group = None
            try:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            finally:
                group.ended.set()

    def _await(self, group: _Group) -> None:
        """Wait for the commit of `group`. Raise its error if it failed."""
        while not group.ended.wait(_POLL_SECONDS):
            # The thread that had to commit may have been interrupted before or during the commit.
            with self._lock:
                if self._group is not group:
                    break
                self._end(group)
        if not group.is_committed:
            raise self._translated(group.error) from group.error

    def close(self) -> None:
        """Close the connection. Threads that wait for the database give up."""
        self._closing.set()
        with self._lock:
            if self._group is not None:
                self._end(self._group)
            self._connection.close()

    @contextmanager
    def _translating_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise self._translated(error) from error

    def _translated(self, error: Exception | None) -> SslctlError:
        """Return an error of SQLite as one of ours."""
        if is_locked(error):
            return busy_error(self._path)
        if isinstance(error, sqlite3.OperationalError):
            return self._limit_behind(error) or StateError(f"cannot use the database {self._path}: {error}")
        if error is None:
            return StateError(f"cannot use the database {self._path}: interrupted")
        # SQLite may quote damaged text in its message.
        return self._unreadable(error)

    def _limit_behind(self, error: sqlite3.OperationalError) -> MachineLimit | None:
        """Return the limit of the machine that SQLite met; None if it is another error."""
        code = getattr(error, "sqlite_errorcode", 0)
        if code & 0xFF == sqlite3.SQLITE_CANTOPEN:
            return find_file_limit()
        return lock_limit(self._path, str(error)) if code in _LOCK_ERRORS else None

    def _unreadable(self, error: Exception) -> StateError:
        return StateError(
            f"the database {self._path} cannot be read: {error}",
            hint="it was not changed; restore a backup with `sslctl restore FILE`, or name another folder in state.dir",
        )


def _prepare_file(path: Path, *, create: bool) -> None:
    if create:
        make_folder(path.parent)
    for place in (path.parent, path):
        require_ours(place)
    if create:
        make_database(path)
