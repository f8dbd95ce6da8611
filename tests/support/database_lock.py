"""Another process that holds a lock on an SQLite database, as a backup program or a reader that hangs does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

READ = "BEGIN; SELECT count(*) FROM sqlite_schema"
WRITE = "BEGIN IMMEDIATE"
EXCLUSIVE = "BEGIN EXCLUSIVE"

_HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
for statement in sys.argv[2].split(";"):
    connection.execute(statement).fetchone()
print("held", flush=True)
sys.stdin.read()
"""
_SECONDS = 60


class LockHolder:
    """A process that holds the lock until `release`. `pid` is its number."""

    def __init__(self, path: Path, statements: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _HOLD, str(path), statements],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "held\n"
        self.pid = self._process.pid

    def release(self, *_: object) -> None:
        """Release the lock. Further calls do nothing."""
        self._process.communicate(timeout=_SECONDS)


@contextmanager
def holding(path: Path, statements: str = READ) -> Iterator[LockHolder]:
    """Hold the lock that `statements` take on the database `path` for the block, or until it is released."""
    holder = LockHolder(path, statements)
    try:
        yield holder
    finally:
        holder.release()
