"""kill -9 at the n-th write, played in this process."""

from __future__ import annotations

import threading
from typing import Any

# `reset_breaker` is missing: it is called after every answer of the CA, and mostly writes nothing.
WRITES = frozenset(
    {
        "add_domain", "add_domains", "add_issued_certificate", "add_text_certificate", "close_order",
        "delete_domain", "mark_not_serving", "mark_revoked", "mark_serving", "mark_uploaded",
        "mark_uploading", "open_order", "pause", "record_event", "record_finding", "record_order_url",
        "trip_breaker", "update_domain",
    }
)  # fmt: skip


class Killed(BaseException):
    """Stands for kill -9: nobody catches it."""


class DyingStore:
    """The real store, in a process that is killed right before or right after its `fatal`-th write.

    From then on nothing is written any more, by no thread. Claims can be given up: those of a dead process are void.
    """

    def __init__(self, store: Any, fatal: int, *, before: bool) -> None:
        self._store = store
        self._left = fatal
        self._before = before
        self._counting = threading.Lock()

    @property
    def is_dead(self) -> bool:
        """Say whether the process was killed."""
        return self._left <= 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name not in WRITES:
            return method

        def write(*arguments: Any, **options: Any) -> Any:
            with self._counting:
                self._left -= 1
                left = self._left
            if left < 0 or (left == 0 and self._before):
                raise Killed
            result = method(*arguments, **options)
            if left == 0:
                raise Killed
            return result

        return write
