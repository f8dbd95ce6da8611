"""The CA's directory (RFC 8555, section 7.1.1), fetched once for all jobs of a process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from sslctl.issuer import IssueError

_SECONDS = 15 * 60
"""How long a directory is used. The CA changes it hardly ever."""

Directory = dict[str, Any]


class SharedDirectory:
    """A directory that is fetched when it is first needed, and again after 15 minutes or after `forget`. Thread-safe.

    `fetch` returns the directory, None if there is none that can be shared. It raises `IssueError`.
    """

    def __init__(
        self, fetch: Callable[[], Directory | None], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._under_way: Future[Directory | None] | None = None
        self._known: Directory | None = None
        self._known_until = 0.0

    def get(self) -> Directory | None:
        """Return the directory, None if it cannot be shared: then each job fetches it. Raise `IssueError`.

        Who asks while it is being fetched waits for that fetch, and gets its result or its error: if the CA is down, a hundred
        passes must not find that out one after the other.
        """
        with self._lock:
            if self._known is not None and self._monotonic() < self._known_until:
                return self._known
            is_ours = self._under_way is None
            fetch = self._under_way or Future()
            self._under_way = fetch
        if is_ours:
            self._run(fetch)
        return fetch.result()

    def forget(self) -> None:
        """Fetch the directory again before the next job: a job met trouble, and the CA may have moved."""
        with self._lock:
            self._known = None

    def _run(self, fetch: Future[Directory | None]) -> None:
        try:
            found = self._fetch()
        except BaseException as error:
            with self._lock:
                self._under_way = None
            fetch.set_exception(error)
            if not isinstance(error, IssueError):
                raise
        else:
            with self._lock:
                self._under_way = None
                self._known, self._known_until = found, self._monotonic() + _SECONDS
            fetch.set_result(found)
