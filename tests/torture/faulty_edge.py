"""An edge that answers HTTP challenges wrongly, on an address of its own with the ports of the real edge."""

from __future__ import annotations

import socketserver
from functools import partial
from http.server import BaseHTTPRequestHandler
from typing import Any, Literal, Self

from sslctl.sandbox.edge import Edge
from sslctl.sandbox.listeners import Listener

ADDRESS = "127.0.0.2"

EdgeFault = Literal["absent", "wrong", "loop"]


class FaultyEdge:
    """A faulty edge; use as a context manager. `asked` counts the requests."""

    def __init__(self, edge: Edge, edge_fault: EdgeFault) -> None:
        self._edge = edge
        self.edge_fault = edge_fault
        self.asked = 0

    def __enter__(self) -> Self:
        self._listeners = [
            Listener(_Server((ADDRESS, port), partial(_Handler, self)))
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
    def __init__(self, edge: FaultyEdge, *connection: Any) -> None:
        self._edge = edge
        super().__init__(*connection)

    def do_GET(self) -> None:
        self._edge.asked += 1
        status, body = {
            "absent": (404, b""),
            "wrong": (200, b"<html>parked</html>"),
            "loop": (302, b""),
        }[self._edge.edge_fault]
        self.send_response(status)
        if status == 302:
            self.send_header("Location", self.path)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as http.server names it
        pass
