"""A load balancer before Pebble that enforces Let's Encrypt's limits per IP address.

Pebble has no such limits. A request beyond them is answered with 503, `Retry-After` and a problem document, as Let's Encrypt does,
and does not reach Pebble. The Host header is forwarded, so the URLs in Pebble's responses lead back here.
"""

from __future__ import annotations

import json
import socketserver
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from http.client import HTTPException, HTTPSConnection
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from sslctl.sandbox.listeners import ADDRESS, Listener
from sslctl.sandbox.pebble import Pebble

_PATHS = {"dir": "directory", "nonce-plz": "new-nonce", "order-plz": "new-order"}
_OTHER = "other"
_RETRY_AFTER_SECONDS = 1
_FORWARD_SECONDS = 30
_PROBLEM = json.dumps(
    {"type": "urn:ietf:params:acme:error:rateLimited", "detail": "Service busy; retry later.", "status": 503}
).encode()
# http.server sets these itself, or they are about the connection to Pebble.
_HOP_BY_HOP = ("content-length", "transfer-encoding", "connection", "date", "server")


class RequestLimit(NamedTuple):
    """A token bucket: `burst` requests at once, and `rate` a second."""

    rate: float
    burst: float


LETS_ENCRYPTS: Mapping[str, RequestLimit] = {
    "directory": RequestLimit(40, 40),
    "new-nonce": RequestLimit(20, 10),
    # 300 a second are published (https://letsencrypt.org/docs/rate-limits/, 2026-08). The former 20 are the harder test.
    "new-order": RequestLimit(20, 20),
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
        server = _Server((ADDRESS, 0), partial(_Handler, self))
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
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


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that hang up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    # Headers and body in one packet; otherwise a client waits for the second.
    wbufsize = -1

    def __init__(self, ca: LimitedCa, *connection: Any) -> None:
        self._ca = ca
        self._pebble: HTTPSConnection | None = None
        super().__init__(*connection)

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def finish(self) -> None:
        if self._pebble is not None:
            self._pebble.close()
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as http.server names it
        pass

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self._ca.admit(self.path):
            refusal = {"Content-Type": "application/problem+json", "Retry-After": str(_RETRY_AFTER_SECONDS)}
            self._answer(503, refusal.items(), _PROBLEM)
            return
        try:
            response = self._forward(body)
        except (OSError, HTTPException):
            # Pebble was stopped.
            self.close_connection = True
            return
        self._answer(*response)

    def _forward(self, body: bytes) -> tuple[int, Any, bytes]:
        if self._pebble is None:
            url, context = (
                urlsplit(self._ca.pebble.directory_url),
                ssl.create_default_context(cafile=str(self._ca.pebble.ca_bundle)),
            )
            self._pebble = HTTPSConnection(
                url.hostname or "", url.port, context=context, timeout=_FORWARD_SECONDS
            )
        self._pebble.request(self.command, self.path, body, dict(self.headers))
        response = self._pebble.getresponse()
        return response.status, response.getheaders(), response.read()

    def _answer(self, status: int, headers: Any, body: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
