"""The nonces that jobs leave over, for the jobs after them: each response of a CA to a POST has one (RFC 8555, section 6.5.1).

So an order makes one request less, and the CA's limit of new nonces binds only the first orders.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

_SECONDS = 10.0
"""How long a nonce is used. One that the CA forgot costs a request, since the refusal has another one; as much as asking for a new one."""
_MOST = 64


class Nonces:
    """The nonces of one CA, in base64url. Safe to use from several threads."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._left: list[tuple[float, str]] = []

    def take(self) -> str | None:
        """Return the newest nonce, which no one else gets; None if there is none, or only old ones."""
        with self._lock:
            if self._left and self._left[-1][0] >= self._monotonic() - _SECONDS:
                return self._left.pop()[1]
            self._left.clear()
            return None

    def put(self, nonces: Iterable[str]) -> None:
        """Keep `nonces`, which the CA has just issued."""
        with self._lock:
            self._left += [(self._monotonic(), nonce) for nonce in nonces]
            del self._left[:-_MOST]
