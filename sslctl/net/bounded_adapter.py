"""BoundedAdapter to one server, shared between threads, on which every answer is bounded in time and in bytes.

They are those of `requests`, without its session: that is what follows redirects, keeps cookies, and takes proxies and
passwords from the environment. `requests` and `urllib3` bound the single read, and neither the sum of many small ones
nor all that is read. So each answer is read from a socket that does: each read has what is left of the time and of the
bytes.
"""

from __future__ import annotations

import io
import socket
import ssl
import time
from http.client import HTTPException, HTTPResponse
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import ConnectionPool

MAX_RESPONSE_BYTES = 1 << 20
"""Bytes, headers included; the contract promises a body of less than 64 KiB."""

# Above what threads there ever are: a connection beyond it is not kept.
_MAX_KEPT = 1024


class ResponseTooLarge(HTTPException):
    """The answer has more than `MAX_RESPONSE_BYTES` bytes."""


class BoundedAdapter(HTTPAdapter):
    """BoundedAdapter to one server, over TLS as `tls` judges it; kept alive between exchanges. Safe for use by many threads.

    Each exchange has a connection to itself, so there are as many as there were exchanges at once. The timeout to read
    bounds the wait for the complete headers, and again that for the complete body.
    """

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._pool: ConnectionPool | None = None
        super().__init__(pool_connections=1, pool_maxsize=_MAX_KEPT)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pool, of connections of ours."""
        super().init_poolmanager(*args, ssl_context=self._tls, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> ConnectionPool:
        """Give the pool, which is always the same: to look it up costs as much as to read an answer."""
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(*args, **kwargs)
        return self._pool

    def close(self) -> None:
        """Close the connections that are not in use."""
        # They are closed as the pool goes, so nobody may keep it.
        self._pool = None
        super().close()

    def cert_verify(self, *_args: object, **_kwargs: object) -> None:
        """Leave the judgement to `tls`: requests would read its own CAs into that, for each connection anew."""


class _BoundedStream(io.RawIOBase):
    """What comes in on a socket: `MAX_RESPONSE_BYTES` bytes, and these within the time that a single read has there."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self._sock = sock
        # Of its own: the connection may be let go of before the answer is read.
        self._stream = sock.makefile("rb", buffering=0)
        self._seconds = sock.gettimeout()
        self._left = MAX_RESPONSE_BYTES
        self.restart_timer()

    def restart_timer(self) -> None:
        """Let what follows have the whole time again."""
        self._until = None if self._seconds is None else time.monotonic() + self._seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._until is not None:
            seconds = self._until - time.monotonic()
            if seconds <= 0:
                raise TimeoutError
            self._sock.settimeout(seconds)
        if not self._left:
            raise ResponseTooLarge
        count = self._stream.readinto(memoryview(buffer)[: self._left])
        self._left -= count or 0
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)


class _Response(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        self._incoming = _BoundedStream(sock)
        # Of the socket, `makefile` alone is used.
        super().__init__(self._incoming, *args, **kwargs)  # type: ignore[arg-type]

    def begin(self) -> None:
        super().begin()
        self._incoming.restart_timer()


class _Connection(HTTPConnection):
    response_class = _Response


class _TLSConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection
