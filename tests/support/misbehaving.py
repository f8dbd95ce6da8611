"""A server on a real socket that misbehaves on request, below HTTP and below TLS."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from itertools import chain, repeat
from typing import Self

PROBLEM = "application/problem+json"
GIGABYTE = f"Content-Length: {1 << 30}\r\n"

Behaviour = Callable[[socket.socket, "Misbehaving"], object]


class Misbehaving:
    """A server on loopback that answers its n-th request by its n-th behaviour, and later ones by the last.

    `tls` may be changed between two connections. `requests` has what came, `sent` counts the bytes that went.
    """

    def __init__(self, *behaviours: Behaviour, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.sent = 0
        self._next = chain(behaviours, repeat(behaviours[-1]))
        self.tls = tls
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self._socks: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._socks:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    @property
    def connections(self) -> int:
        return len(self._socks)

    def pause(self, seconds: float) -> bool:
        """Wait; return whether the server is still running."""
        return not self._ended.wait(seconds)

    def send(self, sock: socket.socket, data: bytes) -> None:
        sock.sendall(data)
        self.sent += len(data)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._socks.append(sock)
            sock.settimeout(30)
            self._start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        with closing(sock), suppress(OSError):
            stream = self.tls.wrap_socket(sock, server_side=True) if self.tls else sock
            # The plain socket has given its descriptor away.
            self._socks[self._socks.index(sock)] = stream
            with closing(stream):
                while request := _read_request(stream):
                    with self._lock:
                        self.requests.append(request)
                        behave = self.choose(request)
                    behave(stream, self)

    def choose(self, _request: bytes) -> Behaviour:
        return next(self._next)


def _read_request(sock: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (int(line[15:]) for line in head.split(b"\r\n") if line[:15].lower() == b"content-length:"), 0
    )
    while len(body) < length:
        piece = sock.recv(65536)
        if not piece:
            return b""
        body += piece
    return head + b"\r\n\r\n" + body


def http_head(status: int, headers: str = "", content_type: str = "application/json") -> bytes:
    return f"HTTP/1.1 {status} Some words\r\nContent-Type: {content_type}\r\n{headers}\r\n".encode()


def answering(status: int, body: object, headers: str = "") -> Behaviour:
    """Send a complete response with `body` as JSON."""
    content = json.dumps(body).encode()
    content_type = PROBLEM if status >= 400 else "application/json"
    data = http_head(status, f"Content-Length: {len(content)}\r\n{headers}", content_type) + content
    return lambda sock, server: server.send(sock, data)


def sending(data: bytes) -> Behaviour:
    """Send `data` and close the connection."""

    def behave(sock: socket.socket, server: Misbehaving) -> None:
        server.send(sock, data)
        sock.shutdown(socket.SHUT_RDWR)

    return behave


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Perform the behaviours one after the other."""

    def behave(sock: socket.socket, server: Misbehaving) -> None:
        for each in behaviours:
            each(sock, server)

    return behave


def send_after(seconds: float, data: bytes, sock: socket.socket, server: Misbehaving) -> None:
    server.pause(seconds)
    server.send(sock, data)


def dripping(head: bytes, drop: bytes) -> Behaviour:
    """Send `drop` again and again, each well within the limit for a single read; 10 seconds in all."""

    def behave(sock: socket.socket, server: Misbehaving) -> None:
        server.send(sock, head)
        for _ in range(200):
            if not server.pause(0.05):
                break
            server.send(sock, drop)
        sock.shutdown(socket.SHUT_RDWR)

    return behave


def flooding(head: bytes) -> Behaviour:
    """Send a gigabyte, or as much of it as is taken."""

    def behave(sock: socket.socket, server: Misbehaving) -> None:
        server.send(sock, head)
        for _ in range(1 << 14):
            server.send(sock, b" " * (1 << 16))

    return behave


def reset(sock: socket.socket, _: Misbehaving) -> None:
    # Linger 0: the connection ends with RST.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def silence(_: socket.socket, server: Misbehaving) -> None:
    server.pause(10)
