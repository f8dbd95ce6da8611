"""What stands before Pebble: an HTTP server whose handlers get each request as a whole."""

from __future__ import annotations

import socketserver
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from http.client import HTTPException, HTTPSConnection
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from sslctl.sandbox.listeners import ADDRESS
from sslctl.sandbox.pebble import Pebble

_FORWARD_SECONDS = 30

# http.server sets these itself, or they are about the connection to Pebble.
_HOP_BY_HOP = ("content-length", "transfer-encoding", "connection", "date", "server")


class FrontServer(socketserver.ThreadingTCPServer):
    """A server on a free port with the certificate of `context`; `handler` is called with each connection."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, context: ssl.SSLContext, handler: Callable[..., BaseHTTPRequestHandler]) -> None:
        super().__init__((ADDRESS, 0), handler)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that hang up or are killed."""


class FrontHandler(BaseHTTPRequestHandler, ABC):
    """A connection. A subclass defines `serve`, which is called with the body of each request."""

    protocol_version = "HTTP/1.1"
    timeout = 60
    # Headers and body in one packet; otherwise a client waits for the second.
    wbufsize = -1

    _forwarded_to: tuple[str, HTTPSConnection] | None = None

    @abstractmethod
    def serve(self, body: bytes) -> None:
        """Answer the request."""

    def do_GET(self) -> None:
        """Serve the request."""
        self._serve()

    def do_HEAD(self) -> None:
        """Serve the request."""
        self._serve()

    def do_POST(self) -> None:
        """Serve the request."""
        self._serve()

    def _serve(self) -> None:
        self.serve(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as http.server names it
        """Write no log."""

    def answer(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        """Send a response; headers about the connection are left out."""
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def forward(self, pebble: Pebble, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        """Return what `pebble` answers to the request: status, headers and body. Raise `OSError`, `HTTPException`."""
        url = pebble.directory_url
        if self._forwarded_to is not None and self._forwarded_to[0] != url:
            # Another Pebble runs by now.
            self._hang_up()
        if self._forwarded_to is None:
            context = ssl.create_default_context(cafile=str(pebble.ca_bundle))
            parts = urlsplit(url)
            self._forwarded_to = (
                url,
                HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=_FORWARD_SECONDS),
            )
        connection = self._forwarded_to[1]
        try:
            connection.request(self.command, self.path, body, dict(self.headers))
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()
        except (OSError, HTTPException):
            self._hang_up()
            raise

    def finish(self) -> None:
        """End the connection, and that to Pebble."""
        self._hang_up()
        super().finish()

    def _hang_up(self) -> None:
        if self._forwarded_to is not None:
            self._forwarded_to[1].close()
            self._forwarded_to = None
