"""A notification service on loopback that records what it receives and misbehaves on request."""

from __future__ import annotations

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Print nothing: a client may leave before it has read the answer."""


class Webhook:
    """Use as a context manager. It answers with `status`; while `hangs` it answers nothing.

    It answers messages that contain one of `refused` with 400, and `body` follows each answer.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.status = 200
        self.body = b""
        self.connections = 0
        self.refused: tuple[bytes, ...] = ()
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.hangs = False
        self.messages: list[dict[str, Any]] = []
        self.pings: list[str] = []
        self._leave = threading.Event()
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                webhook.connections += 1

            def do_GET(self) -> None:
                webhook.pings.append(self.path)
                self._answer(webhook.status)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                webhook.requests.append((dict(self.headers), body))
                webhook.messages.append(json.loads(body))
                self._answer(400 if any(each in body for each in webhook.refused) else webhook.status)

            def _answer(self, status: int) -> None:
                if webhook.hangs:
                    webhook._drip(self)
                    return
                self.send_response(status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(webhook.body)))
                self.end_headers()
                self.wfile.write(webhook.body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.server_port}"

    def url(self, secret: str = "s3cret-path") -> str:  # noqa: S107 - of a test
        """Return the apprise URL of this service, which contains `secret`."""
        return f"json://user:{secret}-word@{self.address}/{secret}"

    @property
    def bodies(self) -> list[str]:
        """What people read, title and text."""
        return [f"{message['title']}\n{message['message']}" for message in self.messages]

    def _drip(self, handler: BaseHTTPRequestHandler) -> None:
        # A byte now and then, so that no timeout of a single read expires.
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not self._leave.wait(0.2):
            try:
                handler.wfile.write(b"x")
            except OSError:
                return

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leave.set()
        self._server.shutdown()
        self._server.server_close()
