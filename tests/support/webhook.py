"""A notification service on loopback that records what it receives and misbehaves on request."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Webhook:
    """Use as a context manager. It answers with `status`; while `hangs` it answers nothing."""

    def __init__(self) -> None:
        self.status = 200
        self.hangs = False
        self.messages: list[dict[str, Any]] = []
        self.pings: list[str] = []
        self._leave = threading.Event()
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                webhook.pings.append(self.path)
                self._answer()

            def do_POST(self) -> None:
                webhook.messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self._answer()

            def _answer(self) -> None:
                if webhook.hangs:
                    webhook._drip(self)
                    return
                self.send_response(webhook.status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

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
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leave.set()
        self._server.shutdown()
        self._server.server_close()
