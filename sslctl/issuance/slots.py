"""A semaphore that can be closed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class SlotsClosed(Exception):
    """The slots were closed; the caller does not start its work."""


class Slots:
    """A semaphore of `count` slots that can be closed. Safe to use from several threads."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = count
        self._closed = False
        self._changed = threading.Condition()

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for a free slot and hold it for the block. Raise `SlotsClosed` if the slots are or become closed."""
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
        """Refuse every further slot, also to threads that wait for one. Slots that are held stay valid."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed
