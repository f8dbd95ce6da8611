"""A call whose result those share who ask for it while it is under way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedCall(Generic[T]):
    """A call of `function` for all threads: who asks while one is under way waits for it, and gets its result or its error.

    If the CA is down, a hundred passes must not find that out one after the other.
    """

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._lock = threading.Lock()
        self._under_way: Future[T] | None = None

    def __call__(self) -> T:
        """Return what `function` returns; raise what it raises."""
        with self._lock:
            known = self._under_way
            if known is None:
                self._under_way = ours = Future[T]()
        if known is not None:
            return known.result()
        try:
            found = self._function()
        except BaseException as error:
            self._end()
            ours.set_exception(error)
            raise
        self._end()
        ours.set_result(found)
        return found

    def _end(self) -> None:
        with self._lock:
            self._under_way = None
