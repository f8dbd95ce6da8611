"""The CA's directory (RFC 8555, section 7.1.1), fetched once for all jobs of a process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from sslctl.issuer.certbot.shared_call import SharedCall

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
        self._shared_fetch = SharedCall(self._fetch_unless_known)
        self._known: Directory | None = None
        self._known_until = 0.0

    def get(self) -> Directory | None:
        """Return the directory, None if it cannot be shared: then each job fetches it. Raise `IssueError`.

        Who asks while it is being fetched waits for that fetch, and gets its result or its error.
        """
        return self._find_known() or self._shared_fetch()

    def forget(self) -> None:
        """Fetch the directory again before the next job: a job met trouble, and the CA may have moved."""
        with self._lock:
            self._known = None

    def _find_known(self) -> Directory | None:
        with self._lock:
            return self._known if self._monotonic() < self._known_until else None

    def _fetch_unless_known(self) -> Directory | None:
        # Another thread may have fetched it since this one looked.
        known = self._find_known()
        if known is not None:
            return known
        found = self._fetch()
        with self._lock:
            self._known, self._known_until = found, self._monotonic() + _SECONDS
        return found
