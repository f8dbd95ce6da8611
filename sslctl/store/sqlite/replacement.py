"""The place of the database in a restore: what may be replaced there, and how, while other processes may have it open."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import datetime
from enum import Enum, auto
from pathlib import Path

from sslctl.errors import Busy, StateBusy, StateError
from sslctl.store.folder import require_ours
from sslctl.store.sql.claims import claim_of
from sslctl.store.sql.lives import LockFiles
from sslctl.store.sqlite import schema
from sslctl.store.sqlite.creation import sync
from sslctl.store.sqlite.presence import EMPTY, find_gap, journal_of, lock_folder_of
from sslctl.store.sqlite.waiting import busy_error, is_locked
from sslctl.system import process_lock
from sslctl.system.files import publish, sync_folder

_UNREADABLE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PATIENCE = 15.0
# Deleted domains stay in `domain`, and events are never deleted.
_USES = (
    ("domain", "domains"),
    ("certificate", "certificates"),
    ("acme_order", "orders"),
    ("event", "events"),
)


class _Found(Enum):
    """What is at the place of the database, if it may be replaced."""

    NOTHING = auto()
    EMPTY_FILE = auto()
    UNREADABLE = auto()
    NEVER_USED = auto()


def require_replaceable(path: Path) -> None:
    """Raise `StateError` if there is a state at `path` that holds domains or held some, or a file that is not sslctl's.

    Raise `Busy` if a living process has claims there.
    """
    _examine(path)
    _require_unused_locks(path)


def put_in_place(copy: Path, path: Path, now: datetime) -> Path | None:
    """Make the finished database `copy` the database `path`. Return where an unreadable one was kept, None if there was none.

    A state that never held a domain is overwritten in one transaction, so that a process that has it open goes on with the
    restored one. Raise `StateError` if there is a state that may not be replaced, `Busy` if a process works on it.
    """
    sync(copy)
    found = _examine(path)
    _require_unused_locks(path)
    if found is _Found.NEVER_USED:
        _overwrite(copy, path, now)
        return None
    kept = None
    if found is _Found.UNREADABLE:
        kept = path.with_name(f"{path.name}.damaged-{now:%Y%m%dT%H%M%SZ}")
        _keep(path, kept)
    try:
        publish(copy, path, force=found is not _Found.NOTHING)
    except FileExistsError as error:
        raise _occupied(path, "exists already") from error
    return kept


def _examine(path: Path) -> _Found:
    gap = find_gap(path)
    require_ours(path)
    found = (_Found.EMPTY_FILE if gap == EMPTY else _Found.NOTHING) if gap else _read(path)
    journal = journal_of(path)
    # SQLite would play it back into the new database.
    if found is not _Found.NEVER_USED and os.path.lexists(journal):
        raise _occupied(journal, "exists already")
    return found


def _read(path: Path) -> _Found:
    try:
        with closing(_connect(path)) as connection:
            if not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                return _Found.UNREADABLE
            schema.require_known(connection, str(path))
            _require_unused(connection, path)
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _UNREADABLE:
            return _Found.UNREADABLE
        raise _translated(path, error) from error
    return _Found.NEVER_USED


def _require_unused(connection: sqlite3.Connection, path: Path) -> None:
    for table, what in _USES:
        count = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - constants
        if count:
            raise _occupied(path, f"exists already and holds {count:,} {what}")


def _overwrite(copy: Path, path: Path, now: datetime) -> None:
    """Copy the database `copy` over the database `path`, in one transaction of SQLite."""
    try:
        with closing(_connect(path)) as write, closing(_connect(copy)) as read:
            for pragma in ("synchronous = EXTRA", "secure_delete = ON", "locking_mode = EXCLUSIVE"):
                write.execute(f"PRAGMA {pragma}")
            # In this locking mode the lock outlasts the transaction: nobody can write between the checks and the copy.
            write.execute("BEGIN EXCLUSIVE")
            _require_unused(write, path)
            _require_unclaimed(write, path, now)
            write.execute("COMMIT")
            read.backup(write)
    except sqlite3.Error as error:
        raise _translated(path, error) from error


def _require_unclaimed(connection: sqlite3.Connection, path: Path, now: datetime) -> None:
    """Raise `Busy` if a living process has a claim: a rotation of the keys would lose those of the backup."""
    connection.row_factory = sqlite3.Row
    rows = connection.execute("SELECT name, owner, until FROM lease").fetchall()
    if any(claim_of(row, LockFiles(lock_folder_of(path)), now).is_valid for row in rows):
        raise _in_use()


def _require_unused_locks(path: Path) -> None:
    """Raise `Busy` if a living process has claims in the database `path`, even one that cannot be read any more."""
    if process_lock.count_alive(lock_folder_of(path)):
        raise _in_use()


def _in_use() -> Busy:
    return Busy(
        "another sslctl works on the state",
        hint="try again when it has ended; `sslctl claims` lists the processes if the database can be read",
    )


def _keep(path: Path, kept: Path) -> None:
    """Add the second name `kept` to the file `path`, so that its content survives the replacement."""
    try:
        kept.hardlink_to(path)
    except FileExistsError:
        raise
    except OSError:
        # Some file systems have no hard links.
        path.rename(kept)
    sync_folder(path.parent)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=_PATIENCE
    )


def _translated(path: Path, error: sqlite3.Error) -> StateBusy | StateError:
    if is_locked(error):
        return busy_error(path)
    return StateError(
        f"cannot replace {path}: {error}", hint="move it away, or name an empty folder in state.dir"
    )


def _occupied(place: Path, why: str) -> StateError:
    return StateError(
        f"{place} {why}, and restore overwrites nothing",
        hint="move it away and keep it, or name an empty folder in state.dir",
    )
