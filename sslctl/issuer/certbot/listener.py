"""One HTTP server on the HTTP-01 port for the challenges of all orders.

In standalone mode the challenge files are written to a folder, as in webroot mode, and the listener serves these files and nothing
else. In stateless mode it answers every token (`sslctl acme serve`).
"""

from __future__ import annotations

import http.client
import ipaddress
import re
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from socketserver import BaseRequestHandler, BaseServer, ThreadingMixIn
from typing import Any

from sslctl.issuer.certbot.challenge_files import TOKEN
from sslctl.issuer.certbot.challenge_sources import ChallengeSource

_PATH = re.compile(rf"/\.well-known/acme-challenge/({TOKEN.pattern})")
# A request line (RFC 9112, section 3), and the end of the header.
_LINE = re.compile(rb"([A-Z]{1,20}) ([!-~]+) HTTP/1\.[01]\r?\n")
_END = re.compile(rb"\r?\n\r?\n")
_MOST_BYTES = 1 << 14
_PROBE_SECONDS = 10
_BACKLOG = 512


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections may be open at once: `most` in all, `most_per_network` from one network, each for `seconds`.

    The port is open to everybody. A CA needs a few connections for each open order, from a handful of addresses, and each
    of them lasts for milliseconds.
    """

    most: int = 512
    most_per_network: int = 128
    seconds: float = 10


class Listener:
    """An HTTP server on `port` of `address` that answers from `source`. Raise `OSError` if it cannot listen.

    An empty `address` means all addresses, IPv4 and IPv6. Several processes of one user may listen on the same port: they
    have the same source, so any of them can respond.
    """

    def __init__(
        self, address: str, port: int, source: ChallengeSource, limits: ConnectionLimits = ConnectionLimits()
    ) -> None:
        where = f"port {port} of {address}" if address else f"port {port}"
        if not _is_free(address, port, source):
            raise OSError(f"{where}, which HTTP-01 needs, is used by another program")
        try:
            self._server = _Server(_bind(address, port), source, limits)
        except OSError as error:
            raise OSError(f"cannot listen on {where} for HTTP-01: {error.strerror}") from error
        threading.Thread(target=self._server.serve_forever, name="http-01", daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


def _bind(address: str, port: int) -> socket.socket:
    dualstack = not address and socket.has_dualstack_ipv6()
    return socket.create_server(
        (address, port),
        family=socket.AF_INET6 if dualstack or ":" in address else socket.AF_INET,
        backlog=_BACKLOG,
        reuse_port=True,
        dualstack_ipv6=dualstack,
    )


def _is_free(address: str, port: int, source: ChallengeSource) -> bool:
    """Return whether the port is free, or used only by listeners that answer from `source`.

    A shared port (`SO_REUSEPORT`) would hide any other listener of our user.
    """
    connection = http.client.HTTPConnection(address or "localhost", port, timeout=_PROBE_SECONDS)
    try:
        connection.connect()
        with source.probed() as (token, answer):
            connection.request("GET", f"/.well-known/acme-challenge/{token}")
            return connection.getresponse().read(len(answer) + 1) == answer
    except ConnectionRefusedError:
        return True
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def find_trouble(address: str, port: int) -> str:
    """Try to bind the port and release it at once. Return why that failed, an empty string if it did not."""
    dualstack = not address and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dualstack or ":" in address else socket.AF_INET
    try:
        with socket.socket(family) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if dualstack:
                trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            trial.bind((address, port))
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return ""


class _Server(ThreadingMixIn, BaseServer):
    """A server on a socket that already listens."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, listening: socket.socket, source: ChallengeSource, limits: ConnectionLimits) -> None:
        super().__init__(listening.getsockname(), _Handler)
        self.socket = listening
        self.source = source
        self._connections = _Connections(limits)

    def fileno(self) -> int:
        """Return the descriptor for the selector of `serve_forever`."""
        return self.socket.fileno()

    def get_request(self) -> tuple[socket.socket, object]:
        """Accept a connection."""
        return self.socket.accept()

    def process_request(self, request: socket.socket, client_address: Any) -> None:  # type: ignore[override]  # narrower
        """Handle a connection in a thread of its own."""
        self._connections.add(request, client_address[0])
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]  # narrower
        """Close a connection."""
        self._connections.remove(request)
        request.close()

    def service_actions(self) -> None:
        """End the connections that last too long; `serve_forever` calls this twice a second, and after each connection."""
        self._connections.expire()

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore broken connections of clients."""

    def server_close(self) -> None:
        """Stop listening."""
        self.socket.close()


class _Connections:
    """The open connections, the oldest first. A new one always gets in: if there are too many, the oldest one is ended.

    A request of the CA ends within milliseconds, so those that are old are not the CA's. A time limit for each read would not
    end a client that sends a byte now and then.
    """

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._open: dict[socket.socket, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def add(self, connection: socket.socket, address: str) -> None:
        """Add a connection from `address`, and end another one if there are too many."""
        network = _network(address)
        with self._lock:
            of_network = [each for each, (known, _) in self._open.items() if known == network]
            if len(of_network) >= self._limits.most_per_network:
                self._end(of_network[0])
            elif len(self._open) >= self._limits.most:
                self._end(next(iter(self._open)))
            self._open[connection] = (network, time.monotonic())

    def remove(self, connection: socket.socket) -> None:
        """Remove a connection that is about to be closed."""
        with self._lock:
            self._open.pop(connection, None)

    def expire(self) -> None:
        """End the connections that are open for too long."""
        oldest = time.monotonic() - self._limits.seconds
        with self._lock:
            for connection in [each for each, (_, since) in self._open.items() if since < oldest]:
                self._end(connection)

    def _end(self, connection: socket.socket) -> None:
        """End a connection: its thread, which reads from it, closes it then."""
        del self._open[connection]
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def _network(address: str) -> str:
    """Return the network of `address` that one client can have for itself: the IPv4 address, or the /64 of an IPv6 one."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv4Address) or parsed.ipv4_mapped is not None:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


class _Handler(BaseRequestHandler):
    """The answer to one request. Python's own HTTP server would take several times the CPU: a CA asks from several places for each name."""

    server: _Server
    request: socket.socket

    def handle(self) -> None:
        """Answer a challenge."""
        received = b""
        while not (is_complete := _END.search(received)) and len(received) < _MOST_BYTES:
            piece = self.request.recv(_MOST_BYTES)
            if not piece:
                break
            received += piece
        if received:
            self.request.sendall(self._answer(received if is_complete else b""))

    def _answer(self, request: bytes) -> bytes:
        """Return the response to `request`, of which the first line counts."""
        line = _LINE.match(request)
        if line is None:
            return _response(HTTPStatus.BAD_REQUEST)
        method, path = line[1].decode(), line[2].decode()
        if method not in ("GET", "HEAD"):
            return _response(HTTPStatus.NOT_IMPLEMENTED)
        found = _PATH.fullmatch(path)
        content = self.server.source.find(found[1]) if found else None
        if content is None:
            return _response(HTTPStatus.NOT_FOUND)
        response = _response(HTTPStatus.OK, content, self.server.source.media_type)
        return response if method == "GET" else response.removesuffix(content)


def _response(status: HTTPStatus, content: bytes = b"", media_type: str = "text/plain") -> bytes:
    head = (
        f"HTTP/1.0 {status.value} {status.phrase}\r\nServer: sslctl\r\nDate: {formatdate(usegmt=True)}\r\n"
        f"Content-Type: {media_type}\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + content
