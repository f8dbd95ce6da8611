"""A `requests` adapter for one server that bounds each response in time and in bytes.

It is used without a `requests` session, which would follow redirects, keep cookies, and read proxies and passwords from
the environment. `requests` and `urllib3` bound each single read only: a server that sends one byte at a time, or without
end, would never be stopped. So each response is read through `_BoundedStream`, which gives every read only the time and
the bytes that are left.
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
"""The limit of one response, headers included; the contract promises a body of less than 64 KiB."""

# More than there are threads: a connection beyond this number is not kept.
_MAX_KEPT = 1024


class ResponseTooLarge(HTTPException):
    """The response is larger than `MAX_RESPONSE_BYTES`."""


class BoundedAdapter(HTTPAdapter):
    """The connections to one server, kept alive between requests. Safe for use by many threads.

    `tls` verifies the server's certificate; None for plain HTTP. Each request has a connection to itself. The read timeout
    bounds the wait for the complete headers, and again the wait for the complete body.
    """

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._pool: ConnectionPool | None = None
        super().__init__(pool_connections=1, pool_maxsize=_MAX_KEPT)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Create the pool manager, with the pools of this module."""
        super().init_poolmanager(*args, ssl_context=self._tls, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> ConnectionPool:
        """Return the only pool. It is kept: to look it up costs as much as to read a response."""
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(*args, **kwargs)
        return self._pool

    def close(self) -> None:
        """Close the connections that are not in use."""
        # The connections are closed when the pool is collected, so drop our reference.
        self._pool = None
        super().close()

    def cert_verify(self, *_args: object, **_kwargs: object) -> None:
        """Do nothing: `tls` verifies. requests would load its own CAs into `tls` for each connection."""


class _BoundedStream(io.RawIOBase):
    """What a socket receives: at most `MAX_RESPONSE_BYTES`, all within the timeout that the socket has for one read."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self._sock = sock
        # A stream of its own: the connection may be released before the response is read.
        self._stream = sock.makefile("rb", buffering=0)
        self._seconds = sock.gettimeout()
        self._left = MAX_RESPONSE_BYTES
        self.restart_timer()

    def restart_timer(self) -> None:
        """Restart the timeout for the bytes that follow."""
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
        # http.client only calls `makefile` of the socket.
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
