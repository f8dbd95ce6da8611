"""Relays between sockets, each with a thread for every connection or datagram."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_CHUNK = 1 << 16
_DATAGRAM_SECONDS = 5


class StreamRelay(socketserver.ThreadingTCPServer):
    """Passes each connection to the socket `listening` on to the one that `connect` returns for it."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, listening: socket.socket, connect: Callable[[socket.socket], socket.socket]) -> None:
        super().__init__(listening.getsockname(), _Connection, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.connect = connect

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore ends that hang up."""


class DatagramRelay(socketserver.ThreadingUDPServer):
    """Passes each datagram on to `address`, and the answer back."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, receiving: socket.socket, address: tuple[str, int]) -> None:
        super().__init__(receiving.getsockname(), _Datagram, bind_and_activate=False)
        self.socket.close()
        self.socket = receiving
        self.address = address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore servers that do not answer."""


class _Connection(socketserver.BaseRequestHandler):
    server: StreamRelay

    def handle(self) -> None:
        with self.server.connect(self.request) as other:
            back = threading.Thread(target=_copy, args=(other, self.request), daemon=True)
            back.start()
            _copy(self.request, other)
            back.join()


class _Datagram(socketserver.BaseRequestHandler):
    server: DatagramRelay

    def handle(self) -> None:
        question, ours = self.request
        with socket.socket(type=socket.SOCK_DGRAM) as other:
            other.settimeout(_DATAGRAM_SECONDS)
            other.sendto(question, self.server.address)
            ours.sendto(other.recv(_CHUNK), self.client_address)


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Send what comes from `source` to `target`, and its end too."""
    with suppress(OSError):
        while content := source.recv(_CHUNK):
            target.sendall(content)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
