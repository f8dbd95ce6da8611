"""Copies of the SQLite file: a backup while other processes work, and the restore.

Both use SQLite's own backup, because only that copies the state of one moment of a database that others write to.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sslctl.errors import BadInput, SslctlError, StateError
from sslctl.store.folder import make_folder
from sslctl.store.interface.maintenance import Copy
from sslctl.store.sqlite import replacement, schema
from sslctl.store.sqlite.creation import sync, temporary
from sslctl.store.sqlite.waiting import SQLITE_SECONDS, Waiting, busy_error
from sslctl.system.files import publish

_OPEN_READ_ONLY = "mode=ro"


def back_up(source: Path, path: Path, waiting: Waiting, *, force: bool, spared: Iterable[Path]) -> Copy:
    """Write a copy of the database `source` into the file `path`, which is none of `spared`; see `Maintenance.back_up`."""
    if any(_is_same(path, each) for each in spared):
        raise BadInput(f"{path} is in use by sslctl itself", hint="name a file in another folder")
    if not force and os.path.lexists(path):
        raise BadInput(f"{path} exists already", hint="--force overwrites it")
    try:
        with temporary(path) as made:
            _copy(source, made, waiting)
            found = _examine(made, str(path))
            sync(made)
            publish(made, path, force=force)
    except FileExistsError as error:
        raise BadInput(f"{path} exists already", hint="--force overwrites it") from error
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror}") from error
    return found


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return False


@contextmanager
def unpacked(backup: Path, path: Path) -> Iterator[tuple[Path, Copy]]:
    """Yield a copy of `backup` in the folder of the database `path`, and what it holds. The copy is deleted after the block.

    It has the schema of this version and no claims. Raise `StateError` if a state at `path` may not be replaced, or if
    `backup` is damaged or not sslctl's.
    """
    replacement.require_replaceable(path)
    try:
        make_folder(path.parent)
        with temporary(path) as copy:
            _require_known(backup)
            _copy(backup, copy, Waiting())
            yield copy, _examine(copy, str(backup))
    except OSError as error:
        raise StateError(
            f"cannot restore {path}: {error.strerror}", hint="state.dir names the folder"
        ) from error


def _require_known(backup: Path) -> None:
    with _translating_errors(backup), closing(_connect(backup, _OPEN_READ_ONLY)) as connection:
        schema.require_known(connection, str(backup))


def _copy(source: Path, target: Path, waiting: Waiting) -> None:
    """Copy the state of one moment of the database `source` into the empty file `target`.

    It is one step: a copy in several starts again after each commit of another process, and may never end. In the
    meantime other processes can read; their commits wait, however long it takes. Before it starts it waits for a commit under way,
    as long as a change of the database waits. Raise `StateBusy` if that is in vain.
    """
    began, is_reported = time.monotonic(), False

    def report_wait(status: int, _remaining: int, _total: int) -> None:
        nonlocal is_reported
        waited = time.monotonic() - began
        if status not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return
        if waited >= waiting.write_seconds:
            raise busy_error(source)
        if waited >= waiting.notice_seconds and not is_reported:
            is_reported = True
            waiting.report(source)

    with (
        _translating_errors(source),
        closing(_connect(source, _OPEN_READ_ONLY)) as read,
        closing(_connect(target, "mode=rw")) as write,
    ):
        # No one uses `target` before it is finished and synced.
        write.execute("PRAGMA journal_mode = OFF")
        write.execute("PRAGMA synchronous = OFF")
        read.backup(write, sleep=SQLITE_SECONDS, progress=report_wait)


def _examine(copy: Path, shown_as: str) -> Copy:
    """Verify a copy, migrate its schema, and delete the claims of the processes that used the original."""
    with _translating_errors(Path(shown_as)), closing(_connect(copy, "mode=rw")) as connection:
        schema.require_known(connection, shown_as)
        found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise StateError(f"{shown_as} is damaged: {found}", hint="the copy was deleted")
        # Before anything is written: a trigger that somebody added would run.
        schema.require_unaltered(connection, shown_as)
        schema.prepare(connection, shown_as)
        connection.execute("DELETE FROM lease")
        counts = "SELECT (SELECT count(*) FROM domain), (SELECT count(*) FROM certificate)"
        domains, certificates = connection.execute(counts).fetchone()
        return Copy(domains, certificates, copy.stat().st_size)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}", uri=True, isolation_level=None, timeout=SQLITE_SECONDS
    )


@contextmanager
def _translating_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except SslctlError:
        raise
    except sqlite3.Error as error:
        raise StateError(
            f"{path} cannot be copied: {error}", hint="check that it is a database of sslctl"
        ) from error
