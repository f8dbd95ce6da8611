"""Wait for a database that another process has locked.

SQLite's own wait holds up signals, so it is short, and the statement is repeated here. A `COMMIT` that finds readers keeps its
transaction and keeps new readers out (https://www.sqlite.org/lockingv3.html), so repeating it cannot go on for ever.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from sslctl.errors import StateBusy
from sslctl.system.limits import require_locks
from sslctl.system.lock_holders import describe_holders

T = TypeVar("T")

SQLITE_SECONDS = 0.02
"""How long SQLite itself waits for a lock, in seconds. Signals are handled only afterwards."""

_PAUSE_SECONDS = 0.02
_ONLY_READ_SECONDS = 30
# The lock-byte page (https://www.sqlite.org/fileformat2.html#the_lock_byte_page).
_LOCK_BYTES = range(0x40000000, 0x40000000 + 512)


def _ignore(_message: str) -> None:
    """Ignore the notice."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long to wait for a locked database, in seconds: for a change `write_seconds`, for a read `read_seconds`.

    A wait of more than `notice_seconds` is reported once to `on_notice`, which any thread may call.
    """

    write_seconds: float = 600
    read_seconds: float = 600
    notice_seconds: float = 3
    on_notice: Callable[[str], None] = field(default=_ignore)

    def of_command(self, on_notice: Callable[[str], None], *, only_reads: bool) -> Waiting:
        """Return the same with `on_notice`; for a command that only reads, reads wait for at most 30 seconds."""
        # Such a command loses nothing if it ends early.
        read_seconds = min(self.read_seconds, _ONLY_READ_SECONDS) if only_reads else self.read_seconds
        return replace(self, on_notice=on_notice, read_seconds=read_seconds)

    def report(self, path: Path) -> None:
        """Report that this process waits for the database `path`."""
        self.on_notice(f"waiting for the database, which {describe_lock(path)} has locked")


class LockWait:
    """Repeats statements for which the database `path` is locked, up to `seconds` for each.

    Once a wait was in vain or interrupted, further statements are tried once, until one succeeds: a process that could
    not record the work of many threads ends soon after the first wait. Used by one thread at a time.
    """

    def __init__(self, path: Path, seconds: float, waiting: Waiting, stopped: threading.Event) -> None:
        self._path = path
        self._seconds = seconds
        self._waiting = waiting
        self._stopped = stopped
        self._gave_up = False

    def run(self, attempt: Callable[[], T]) -> T:
        """Return the result of `attempt`. Raise SQLite's last error if the database stays locked.

        Raise `MachineLimit` if its file system has no locks.
        """
        try:
            return self._repeat(attempt)
        except BaseException as error:
            # After Ctrl-C nothing that is done on the way out may wait again.
            if is_locked(error) or not isinstance(error, Exception):
                self._gave_up = True
            raise

    def _repeat(self, attempt: Callable[[], T]) -> T:
        began, is_reported = time.monotonic(), False
        while True:
            try:
                return attempt()
            except sqlite3.OperationalError as error:
                waited = time.monotonic() - began
                if not is_locked(error) or self._gave_up or self._stopped.is_set() or waited >= self._seconds:
                    raise
            if waited >= self._waiting.notice_seconds and not is_reported:
                is_reported = True
                # To SQLite a file system without locks looks like a locked database.
                require_locks(self._path.with_name(f"{self._path.name}-lock-test"))
                self._waiting.report(self._path)
            self._stopped.wait(_PAUSE_SECONDS)

    def succeeded(self) -> None:
        """Wait again the next time."""
        self._gave_up = False


def is_locked(error: BaseException | None) -> bool:
    """Return whether `error` is SQLite's, and means that another connection has locked the database."""
    # Errors that Python itself found (text that is not UTF-8) have no code.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return isinstance(error, sqlite3.Error) and code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def describe_lock(path: Path) -> str:
    """Return which processes have locked the database `path`, in words."""
    return describe_holders(path, _LOCK_BYTES)


def busy_error(path: Path) -> StateBusy:
    """Return the error for a database that stayed locked."""
    return StateBusy(
        f"the database {path} is locked by {describe_lock(path)} and did not become free in time",
        hint="let that process finish, or end it, then run the command again; what was recorded before is kept",
    )
