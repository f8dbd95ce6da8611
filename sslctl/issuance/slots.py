"""Taking turns at what only so many may do at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class SlotsClosed(Exception):
    """There are no more turns: what would have begun is left for another time."""


class Slots:
    """Lets `count` threads in at a time. After `stop` nobody more gets in, whoever waits included."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._closed = False
        self._changed = threading.Condition()

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for a turn, and keep it for the block. Raises `SlotsClosed`."""
        with self._changed:
            self._changed.wait_for(lambda: self._free or self._closed)
            if self._closed:
                raise SlotsClosed
            self._free -= 1
        try:
            yield
        finally:
            with self._changed:
                self._free += 1
                self._changed.notify()

    def close(self) -> None:
        """Let nobody in any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Say whether `stop` was called."""
        return self._closed
