"""Turns of the requests that read all domains, so that they do not hold up those who write."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sslctl.errors import Problem, TryLater

_WAIT_SECONDS = 10


class Turns:
    """The turns of one server. One request has the turn; another one waits for it for `wait_seconds` at most.

    A commit waits for all reads that are under way. One read of 100,000 domains takes a fraction of a second; many at once share the
    processor, and take seconds.
    """

    def __init__(self, wait_seconds: float = _WAIT_SECONDS) -> None:
        self.wait_seconds = wait_seconds
        self._turn = threading.Lock()

    @contextmanager
    def take(self) -> Iterator[None]:
        """Have the turn for the block. Raise `TryLater` if the others have it for too long."""
        if not self._turn.acquire(timeout=self.wait_seconds):
            raise TryLater(
                "many requests read the list at this time, so this one was not answered",
                hint="load the page again",
                problem=Problem("requests.many"),
            )
        try:
            yield
        finally:
            self._turn.release()
