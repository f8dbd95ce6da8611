"""An edge that answers the CA's HTTP challenges wrongly, on an address of its own with the ports of the real edge.

sslctl's own look before an order gets the right answer: otherwise there would be no order.
"""

from __future__ import annotations

import socketserver
from contextlib import closing
from functools import partial
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from typing import Any, Literal, Self

from sslctl.sandbox.edge import Edge
from sslctl.sandbox.listeners import Listener

ADDRESS = "127.0.0.2"
_REAL_ADDRESS = "127.0.0.1"
_PATIENCE_SECONDS = 10

EdgeFault = Literal["absent", "wrong", "loop"]


class FaultyEdge:
    """A faulty edge; use as a context manager. `asked` counts the requests of the CA."""

    def __init__(self, edge: Edge, edge_fault: EdgeFault) -> None:
        self._edge = edge
        self.edge_fault = edge_fault
        self.asked = 0

    def __enter__(self) -> Self:
        self._listeners = [
            Listener(_Server((ADDRESS, port), partial(_Handler, self, port)))
            for port in (self._edge.http_port, self._edge.https_port)
        ]
        return self

    def __exit__(self, *_: object) -> None:
        while self._listeners:
            self._listeners.pop().stop()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, edge: FaultyEdge, port: int, *connection: Any) -> None:
        self._edge = edge
        self._port = port
        super().__init__(*connection)

    def do_GET(self) -> None:
        if self.headers["User-Agent"].startswith("sslctl/"):
            self._answer(*self._real_answer())
            return
        self._edge.asked += 1
        status, body = {
            "absent": (404, b""),
            "wrong": (200, b"<html>parked</html>"),
            "loop": (302, b""),
        }[self._edge.edge_fault]
        self._answer(status, body)

    def _real_answer(self) -> tuple[int, bytes]:
        with closing(HTTPConnection(_REAL_ADDRESS, self._port, timeout=_PATIENCE_SECONDS)) as connection:
            connection.request("GET", self.path, headers={"Host": self.headers["Host"]})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if status == 302:
            self.send_header("Location", self.path)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as http.server names it
        pass
