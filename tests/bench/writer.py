"""A program that writes to the database all the time."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Self

# Patient enough to measure any wait.
_TIMEOUT_SECONDS = 300
_PAUSE_SECONDS = 0.01


class Writer:
    """Writes a row of its own to the database `path` again and again for the block; `waits` are the seconds of each commit."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self.waits: list[float] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def longest(self) -> float:
        """The longest wait, in seconds."""
        return max(self.waits, default=0.0)

    @property
    def median(self) -> float:
        """The median wait, in seconds."""
        return median(self.waits)

    def _write(self) -> None:
        with closing(
            sqlite3.connect(self._path, isolation_level=None, timeout=_TIMEOUT_SECONDS)
        ) as connection:
            while not self._ended.wait(_PAUSE_SECONDS):
                began = time.monotonic()
                connection.execute("UPDATE domain SET revision = revision + 1 WHERE id = 2")
                self.waits.append(time.monotonic() - began)
