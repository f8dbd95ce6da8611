"""The circuit breaker of an edge that gives no answer: after three failures in a row it is asked only once a minute."""

from __future__ import annotations

import threading
from collections.abc import Callable

SILENT_AFTER = 3
"""So many answers must be missing in a row."""

_ASKED_AGAIN_AFTER = 60


class Silence:
    """Whether an edge is silent, and `why` it gave no answer last. Safe to use from several threads. `monotonic` is a clock in seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.why = ""
        self._failures = 0
        self._ask_at = 0.0
        self._monotonic = monotonic
        self._lock = threading.Lock()

    @property
    def is_silent(self) -> bool:
        """Whether the edge has given no answer three times in a row."""
        return self._failures >= SILENT_AFTER

    def may_ask(self) -> bool:
        """Return whether the edge may be asked now. Of a silent one, only one thread at a time may."""
        with self._lock:
            if not self.is_silent:
                return True
            now = self._monotonic()
            if now < self._ask_at:
                return False
            self._ask_at = now + _ASKED_AGAIN_AFTER
            return True

    def end(self) -> None:
        """Note that the edge answered."""
        with self._lock:
            self._failures = 0

    def go_on(self, why: str) -> None:
        """Note that the edge gave no answer, and why (cleaned)."""
        with self._lock:
            self._failures += 1
            self.why = why
            self._ask_at = self._monotonic() + _ASKED_AGAIN_AFTER
