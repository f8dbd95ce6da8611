"""A load balancer before Pebble that enforces Let's Encrypt's limits per IP address.

Pebble has no such limits. A request beyond them is answered with 503, `Retry-After` and a problem document, as Let's Encrypt does,
and does not reach Pebble. The Host header is forwarded, so the URLs in Pebble's responses lead back here.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from http.client import HTTPException
from typing import Any, NamedTuple, Self

from sslctl.sandbox.front import FrontHandler, FrontServer
from sslctl.sandbox.listeners import ADDRESS, Listener
from sslctl.sandbox.pebble import Pebble

_PATHS = {"dir": "directory", "nonce-plz": "new-nonce", "order-plz": "new-order"}
_OTHER = "other"
_RETRY_AFTER_SECONDS = 1
_PROBLEM = json.dumps(
    {"type": "urn:ietf:params:acme:error:rateLimited", "detail": "Service busy; retry later.", "status": 503}
).encode()


class RequestLimit(NamedTuple):
    """A token bucket: `burst` requests at once, and `rate` a second."""

    rate: float
    burst: float


# As published (https://letsencrypt.org/docs/rate-limits/, 2026-08).
LETS_ENCRYPTS: Mapping[str, RequestLimit] = {
    "directory": RequestLimit(40, 40),
    "new-nonce": RequestLimit(20, 10),
    "new-order": RequestLimit(300, 200),
    _OTHER: RequestLimit(250, 125),
}


class LimitedCa:
    """The load balancer before `pebble`; a context manager. It serves Pebble's own certificate.

    `asked` counts the requests by kind, `refused` those that were answered with 503.
    """

    def __init__(
        self,
        pebble: Pebble,
        limits: Mapping[str, RequestLimit],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pebble = pebble
        self.asked: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._limits = limits
        self._monotonic = monotonic
        self._tokens = {kind: limit.burst for kind, limit in limits.items()}
        self._filled_at = dict.fromkeys(limits, monotonic())
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.pebble.server_certificate)
        server = FrontServer(context, partial(_Handler, self))
        self._port = server.server_address[1]
        self._listener = Listener(server)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.stop()

    @property
    def directory_url(self) -> str:
        """The URL of the ACME directory."""
        return f"https://{ADDRESS}:{self._port}/dir"

    def admit(self, path: str) -> bool:
        """Count a request for `path`, and return whether it is within the limits."""
        kind = _PATHS.get(path.split("/")[1].partition("?")[0], _OTHER)
        with self._lock:
            self.asked[kind] += 1
            limit = self._limits.get(kind)
            if limit is None:
                return True
            now = self._monotonic()
            earned = (now - self._filled_at[kind]) * limit.rate
            self._tokens[kind], self._filled_at[kind] = min(limit.burst, self._tokens[kind] + earned), now
            if self._tokens[kind] < 1:
                self.refused[kind] += 1
                return False
            self._tokens[kind] -= 1
            return True


class _Handler(FrontHandler):
    def __init__(self, ca: LimitedCa, *connection: Any) -> None:
        self._ca = ca
        super().__init__(*connection)

    def serve(self, body: bytes) -> None:
        """Forward the request to Pebble, or refuse it."""
        if not self._ca.admit(self.path):
            refusal = {"Content-Type": "application/problem+json", "Retry-After": str(_RETRY_AFTER_SECONDS)}
            self.answer(503, refusal.items(), _PROBLEM)
            return
        try:
            response = self.forward(self._ca.pebble, body)
        except (OSError, HTTPException):
            # Pebble was stopped.
            self.close_connection = True
            return
        self.answer(*response)
