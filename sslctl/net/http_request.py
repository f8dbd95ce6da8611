"""One GET request to one address, bounded in time and in bytes. Nothing is resolved, followed, kept, or read from the environment."""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from sslctl import __version__

MAX_BODY_BYTES = 4096
"""More of a body is not read."""

_MAX_BYTES = 1 << 16
_CONNECT_SECONDS = 3
_LEGACY_SERVER = 0x4  # SSL_OP_LEGACY_SERVER_CONNECT, which `ssl` names since Python 3.12


class NoResponse(Exception):
    """The server did not respond: a timeout, a network that cannot be reached, or a connection that ended without a response."""


class Refused(Exception):
    """The address refused the connection."""


class NotConnected(NoResponse):
    """There was no connection, and no refusal either."""


class BadResponse(Exception):
    """The server responded, and not with HTTP, or it refused TLS. `str()` of it says which; it may be hostile."""


@dataclass(frozen=True, slots=True)
class Request:
    """A GET request for `path` to `port`. `host` is a name or an address, `host_header` has a port unless it is the scheme's.

    All are ASCII, without line breaks.
    """

    is_tls: bool
    host: str
    host_header: str
    port: int
    path: str


@dataclass(frozen=True, slots=True)
class Response:
    """A response; `body` has at most 4096 bytes."""

    status: int
    location: str | None
    body: bytes


Connect = Callable[[tuple[str, int], float], socket.socket]
"""A function that connects to an address and a port within some seconds."""


def get(
    request: Request,
    address: IPv4Address | IPv6Address,
    until: float,
    connect: Connect = socket.create_connection,
) -> Response:
    """Return the response of `address` to `request`, before the monotonic time `until`.

    Raise `Refused`, `NotConnected`, `NoResponse` or `BadResponse`. The server's certificate is not verified: as a rule the
    domain has none yet (Boulder, `va/http.go`, `httpTransport`).
    """
    with _connect(connect, address, request.port, until) as sock:
        try:
            with _secure(sock, request.host) if request.is_tls else sock as stream:
                return _exchange(stream, request, until)
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError, TimeoutError) as error:
            raise NoResponse(_describe(error)) from error
        except ssl.SSLError as error:
            reason = (error.reason or "the handshake failed").replace("_", " ").lower()
            raise BadResponse(f"TLS: {reason}") from error
        except OSError as error:
            raise NoResponse(_describe(error)) from error
        except (http.client.BadStatusLine, http.client.UnknownProtocol) as error:
            raise BadResponse("the response is not HTTP") from error
        except (http.client.HTTPException, ValueError) as error:
            # The limits of http.client are stricter than the CA's, so this proves nothing.
            raise NoResponse("the response could not be read") from error


def _connect(connect: Connect, address: IPv4Address | IPv6Address, port: int, until: float) -> socket.socket:
    seconds = min(_CONNECT_SECONDS, until - time.monotonic())
    if seconds <= 0:
        raise NotConnected("no response in time")
    try:
        sock = connect((str(address), port), seconds)
    except ConnectionRefusedError as error:
        raise Refused("connection refused") from error
    except OSError as error:
        raise NotConnected(_describe(error)) from error
    # For the TLS handshake; each read has its own limit.
    sock.settimeout(max(0.001, until - time.monotonic()))
    return sock


def _describe(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no response in time"
    return "the connection ended without a response"


def _secure(sock: socket.socket, host: str) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # OpenSSL's own policy on key lengths and renegotiation is stricter than the CA's.
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.options |= _LEGACY_SERVER
    return context.wrap_socket(sock, server_hostname=host)


def _exchange(sock: socket.socket, request: Request, until: float) -> Response:
    # Go's client, which Boulder uses, asks for gzip. Some firewalls refuse a request without Accept.
    lines = (
        f"GET {request.path} HTTP/1.1",
        f"Host: {request.host_header}",
        f"User-Agent: sslctl/{__version__} (HTTP-01 probe)",
        "Accept: */*",
        "Accept-Encoding: gzip",
        "Connection: close",
    )
    sock.sendall("".join(f"{line}\r\n" for line in (*lines, "")).encode("ascii"))
    # http.client only calls `makefile` of the socket.
    response = http.client.HTTPResponse(_Stream(sock, until), method="GET")  # type: ignore[arg-type]
    try:
        response.begin()
        if response.status < HTTPStatus.OK:
            # An interim response, which the CA skips (RFC 9110, section 15.2).
            raise http.client.HTTPException
        body = _read_body(response)
        is_gzip = response.getheader("Content-Encoding", "").strip().lower() == "gzip"
        location = response.getheader("Location")
        return Response(response.status, location, _unzip(body) if is_gzip else body)
    finally:
        response.close()


def _read_body(response: http.client.HTTPResponse) -> bytes:
    """Return the start of the body. Of a status other than 200 the CA needs no body, so what came of it is enough."""
    body = b""
    try:
        while len(body) < MAX_BODY_BYTES and (piece := response.read1(MAX_BODY_BYTES - len(body))):
            body += piece
    except (OSError, http.client.HTTPException):
        if response.status == HTTPStatus.OK:
            raise
    return body


def _unzip(body: bytes) -> bytes:
    """Return the start of an unpacked gzip body, `body` itself if it is none."""
    try:
        return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS).decompress(body, MAX_BODY_BYTES)
    except zlib.error:
        return body


class _Stream(io.RawIOBase):
    """What a socket receives, at most 64 KiB, before the monotonic time `until`."""

    def __init__(self, sock: socket.socket, until: float) -> None:
        super().__init__()
        self._sock = sock
        self._until = until
        self._left = _MAX_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        seconds = self._until - time.monotonic()
        if seconds <= 0:
            raise TimeoutError
        if not self._left:
            raise http.client.HTTPException
        self._sock.settimeout(seconds)
        count = self._sock.recv_into(memoryview(buffer)[: self._left])
        self._left -= count
        return count

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)
