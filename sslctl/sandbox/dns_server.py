"""The servers of DNS over UDP and TCP on one free port of loopback, and the form of their responses."""

from __future__ import annotations

import socketserver
import sys
from collections.abc import Callable
from typing import Any

import dns.exception
import dns.flags
import dns.message

from sslctl.errors import StateError
from sslctl.sandbox.listeners import ADDRESS

_LONGEST_UDP = 512
_ATTEMPTS = 20


class _Server(socketserver.ThreadingMixIn, socketserver.BaseServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that hangs up, and the end of the server before an answer is sent."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class UdpServer(_Server, socketserver.UDPServer):
    """A server of DNS over UDP."""


class TcpServer(_Server, socketserver.TCPServer):
    """A server of DNS over TCP."""

    allow_reuse_address = True


def bind(respond: Callable[..., bytes]) -> tuple[UdpServer, TcpServer]:
    """Bind UDP and TCP to one free port; a port that is free for UDP may be taken for TCP. Raise `StateError`.

    `respond` is called with each query and `over_udp`, and returns the response; nothing is sent if it is empty.
    """

    class UdpHandler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            wire, listener = self.request
            answer = respond(wire, over_udp=True)
            if answer:
                listener.sendto(answer, self.client_address)

    class TcpHandler(socketserver.StreamRequestHandler):
        timeout = 30

        def handle(self) -> None:
            length = int.from_bytes(self.rfile.read(2))
            answer = respond(self.rfile.read(length), over_udp=False)
            if answer:
                self.wfile.write(len(answer).to_bytes(2) + answer)

    for _ in range(_ATTEMPTS):
        udp = UdpServer((ADDRESS, 0), UdpHandler)
        try:
            return udp, TcpServer((ADDRESS, udp.server_address[1]), TcpHandler)
        except OSError:
            udp.server_close()
    raise StateError("no port of loopback is free for both UDP and TCP")


def pack(response: dns.message.Message, *, over_udp: bool) -> bytes:
    """Return `response` as it is sent: over UDP without its records if it is too long, marked as truncated."""
    if not over_udp:
        return response.to_wire(max_size=65535)
    try:
        return response.to_wire(max_size=_LONGEST_UDP)
    except dns.exception.TooBig:
        response.answer.clear()
        response.authority.clear()
        response.flags |= dns.flags.TC
        return response.to_wire()
