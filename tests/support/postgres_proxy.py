"""A proxy before a PostgreSQL server that does something when a chosen statement arrives: such as to cut the connections."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.support.postgres import Cluster

_CHUNK = 1 << 16
# What ends a request of the protocol: a simple query, or Sync after the parts of one with parameters.
_STATEMENTS = frozenset(b"QS")


class PostgresProxy:
    """Passes TCP connections on to `server`; use as a context manager.

    `statements` are those that have arrived. `on_statement` is called with the number of each, beginning with 1, before it is passed on.
    """

    def __init__(self, server: Cluster) -> None:
        self._server = server
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._clients = list[socket.socket]()
        self._lock = threading.Lock()
        self._is_passing = threading.Event()
        self._is_passing.set()
        self.statements = 0
        self.on_statement: Callable[[int], object] = lambda _number: None

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.resume()
        self.reset()

    def url(self, database: str) -> str:
        """Return the connection string of `database` through this proxy."""
        return f"postgresql://postgres@127.0.0.1:{self._listening.getsockname()[1]}/{database}?sslmode=disable&gssencmode=disable"

    def restart(self, on_statement: Callable[[int], object]) -> None:
        """Count from 1 again, and call `on_statement`."""
        with self._lock:
            self.statements, self.on_statement = 0, on_statement

    def reset(self) -> None:
        """Cut all connections with a TCP RST."""
        with self._lock:
            clients, self._clients = self._clients, []
        for client in clients:
            with suppress(OSError):
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # Closing alone would wait for the thread that reads.
                client.shutdown(socket.SHUT_RD)
            client.close()

    def stall(self) -> None:
        """Pass nothing on from now on; connections stay open, and new ones are accepted by the kernel alone."""
        self._is_passing.clear()

    def resume(self) -> None:
        """Pass on again what came meanwhile, and all that follows."""
        self._is_passing.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            with self._lock:
                self._clients.append(client)
            threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as server, client:
            server.connect(self._server.socket)
            threading.Thread(target=self._answer, args=(server, client), daemon=True).start()
            with suppress(EOFError):
                for message in _messages(client):
                    if message[0] in _STATEMENTS:
                        self._count()
                    self._is_passing.wait()
                    server.sendall(message)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while content := server.recv(_CHUNK):
                self._is_passing.wait()
                client.sendall(content)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def _count(self) -> None:
        with self._lock:
            self.statements += 1
            number, work = self.statements, self.on_statement
        work(number)


def _messages(client: socket.socket) -> Iterator[bytes]:
    """Yield the messages of a client: the first one has no type, the others begin with it. Raise `EOFError` at the end."""
    yield _read_message(client, b"")
    while True:
        yield _read_message(client, _read(client, 1))


def _read_message(client: socket.socket, kind: bytes) -> bytes:
    length = _read(client, 4)
    return kind + length + _read(client, struct.unpack("!I", length)[0] - 4)


def _read(client: socket.socket, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        piece = client.recv(size - len(found))
        if not piece:
            raise EOFError
        found += piece
    return bytes(found)
