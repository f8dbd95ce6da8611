"""A CA's renewal information over real HTTPS: its directory and the renewal window of each certificate (RFC 9773)."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import trustme

from sslctl.text import instant


@dataclass(frozen=True)
class Answer:
    """One answer: JSON or bytes, with its status and headers."""

    body: object = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def window(start: datetime, end: datetime, url: str | None = None, **headers: str) -> Answer:
    """Return the answer that suggests a renewal from `start` to `end`; `Retry_After` sets that header."""
    body: dict[str, Any] = {"suggestedWindow": {"start": instant(start), "end": instant(end)}}
    if url is not None:
        body["explanationURL"] = url
    return Answer(body, headers={name.replace("_", "-"): value for name, value in headers.items()})


class AriServer:
    """Use as a context manager. `answers` are given by ARI id, `otherwise` for every other one; `asked` has the ids.

    `directory` is the answer to who asks for it at `/dir`, `connections` counts who connected.
    """

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.ca_bundle = folder / "ari-ca.pem"
        authority.cert_pem.write_to_path(str(self.ca_bundle))
        self.answers: dict[str, Answer] = {}
        self.otherwise = Answer({"type": "urn:ietf:params:acme:error:malformed"}, 404)
        self.asked: list[str] = []
        self.connections = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.url = f"https://127.0.0.1:{self._server.server_port}"
        # What every directory has (RFC 8555, section 7.1.1).
        self.resources = {name: f"{self.url}/{name}" for name in ("newNonce", "newAccount", "newOrder")}
        self.directory = Answer({**self.resources, "renewalInfo": f"{self.url}/ari"})
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, path: str) -> Answer:
        """Answer a GET of `path`."""
        if path == "/dir":
            return self.directory
        id_ = path.removeprefix("/ari/")
        self.asked.append(id_)
        return self.answers.get(id_, self.otherwise)


def _handler(server: AriServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # The longest wait for a client that leaves its connection idle.
        timeout = 10

        def setup(self) -> None:
            server.connections += 1
            super().setup()

        def do_GET(self) -> None:
            answer = server.answer(self.path)
            body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            usual = {"Content-Type": "application/json", "Content-Length": str(len(body))}
            for name, value in {**usual, **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = len(body) != int(answer.headers.get("Content-Length", len(body)))

        def do_HEAD(self) -> None:
            self._send_empty()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.do_GET()

        def _send_empty(self) -> None:
            self.send_response(200)
            self.send_header("Replay-Nonce", "bm9uY2U")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    return Handler
