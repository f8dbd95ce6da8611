"""The edge of the reference CDN: serves each domain's active certificate over TLS, and HTTP challenges in the clear."""

from __future__ import annotations

import http.client
import os
import re
import socketserver
import ssl
import stat
import sys
import tempfile
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Self

import trustme

from sslctl.rules.stateless_answer import key_authorization
from sslctl.sandbox.c4.records import Placed
from sslctl.sandbox.c4.server import ReferenceC4
from sslctl.sandbox.edge_fault import EdgeFault
from sslctl.sandbox.listeners import ADDRESS, Listener

_CHALLENGES = "/.well-known/acme-challenge/"
# RFC 8555, section 8.3: a token has the characters of base64url and no others.
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}")
_LONGEST_ANSWER = 64 * 1024
_FORWARD_SECONDS = 10


class Edge:
    """Two listeners on loopback in front of a `ReferenceC4`; use as a context manager, or `start` and `stop`.

    A challenge is answered from `webroot`/.well-known/acme-challenge/, or forwarded to `standalone_port` on loopback, if
    they are given; if `find_thumbprint` returns one, the edge answers every challenge by itself. Port 0 takes a free port, which is kept from the first start on. `find_redirect` returns the URL to which port 80
    redirects every request for a host, or an empty string. With a `fault`, or one that `find_fault` returns, it
    serves other certificates than C4 has.
    """

    def __init__(
        self,
        c4: ReferenceC4,
        webroot: Path | None,
        standalone_port: int | None = None,
        http_port: int = 0,
        https_port: int = 0,
        *,
        find_redirect: Callable[[str], str] = lambda _host: "",
        find_fault: Callable[[], EdgeFault | None] = lambda: None,
        find_thumbprint: Callable[[], str] = lambda: "",
    ) -> None:
        self.c4 = c4
        self.webroot = webroot
        self.standalone_port = standalone_port
        self.http_port = http_port
        self.https_port = https_port
        self.find_redirect = find_redirect
        self.find_fault = find_fault
        self.find_thumbprint = find_thumbprint
        self.fault: EdgeFault | None = None
        self._listeners: list[Listener] = []
        self._contexts: dict[str, tuple[Placed, ssl.SSLContext]] = {}

    def start(self) -> None:
        """Listen on both ports. Raise `OSError` if one is in use."""
        plain = _Server((ADDRESS, self.http_port), partial(_PlainHandler, self))
        try:
            secure = _Server((ADDRESS, self.https_port), partial(_SecureHandler, self))
        except OSError:
            plain.server_close()
            raise
        # The handshake is made in the connection's own thread; otherwise one silent client would block all others.
        secure.socket = self._front().wrap_socket(
            secure.socket, server_side=True, do_handshake_on_connect=False
        )
        self.http_port, self.https_port = plain.server_address[1], secure.server_address[1]
        self._listeners = [Listener(plain), Listener(secure)]

    def stop(self) -> None:
        """Close both ports. Do nothing if they are not open."""
        while self._listeners:
            self._listeners.pop().stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _front(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # No resumption: every handshake must send the current certificate.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        context.sni_callback = self._choose
        return context

    def _choose(
        self, connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _context: ssl.SSLContext
    ) -> int | None:
        """Use the certificate of `name` in the handshake (RFC 6066, section 3), or return the alert that refuses it."""
        domain = (name or "").lower()
        fault = self.fault or self.find_fault()
        if fault is EdgeFault.LIE:
            connection.context = _foreign(domain)
            return None
        known = self._contexts.get(domain)
        last = None if known is None else known[0]
        placed = last if fault is EdgeFault.LAG else self.c4.serving(domain)
        if placed is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        if known is None or known[0] != placed:
            try:
                known = self._contexts[domain] = (placed, _load(placed, self.c4.folder))
            except OSError:
                # OpenSSL's own policy, such as on key lengths, is stricter than the contract.
                return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        connection.context = known[1]
        return None


def _foreign(domain: str) -> ssl.SSLContext:
    """Return a context with a certificate for `domain` that C4 never had."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(domain or "localhost").configure_cert(context)
    return context


def _load(placed: Placed, folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # `ssl` reads keys only from files. This one has mode 0600 and exists only in this block.
    with tempfile.NamedTemporaryFile("w", encoding="ascii", prefix=".", dir=folder) as file:
        file.write(f"{placed.private_key}\n{placed.certificate}\n{placed.chain}")
        file.flush()
        context.load_cert_chain(file.name)
    return context


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: Callable[[Any, Any, Any], _Handler]) -> None:
        super().__init__(address, handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that hangs up, is silent or refuses the certificate is no error of the edge.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    timeout = 30
    server_version = "sslctl-edge"

    def __init__(self, edge: Edge, *connection: Any) -> None:
        self.edge = edge
        super().__init__(*connection)

    @abstractmethod
    def do_GET(self) -> None: ...

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
        pass

    def host(self) -> str:
        """Return the name in the Host header in lower case and without its port, or "" if it is invalid."""
        name = self.headers.get("Host", "").partition(":")[0]
        return name.lower() if _HOST.fullmatch(name) else ""

    def answer(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "text/plain; charset=utf-8", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


class _SecureHandler(_Handler):
    def do_GET(self) -> None:
        self.answer(HTTPStatus.OK, f"The edge serves {self.host() or 'you'} over TLS.\n".encode())


class _PlainHandler(_Handler):
    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        host = self.host()
        redirect = self.edge.find_redirect(host)
        if redirect:
            self.answer(HTTPStatus.FOUND, b"Moved.\n", Location=redirect)
        elif path.startswith(_CHALLENGES):
            self.answer(*self._answer_challenge(path.removeprefix(_CHALLENGES)))
        elif self.edge.c4.knows(host):
            location = f"https://{host}:{self.edge.https_port}{self.path}"
            self.answer(HTTPStatus.MOVED_PERMANENTLY, b"Moved to https.\n", Location=location)
        else:
            self.answer(HTTPStatus.NOT_FOUND, b"The CDN has no such domain.\n")

    def _answer_challenge(self, token: str) -> tuple[int, bytes]:
        """Return status and content for `token`: the edge's own answer, or that of the webroot or the standalone port."""
        if not _TOKEN.fullmatch(token):
            return HTTPStatus.NOT_FOUND, b"Not a challenge.\n"
        if thumbprint := self.edge.find_thumbprint():
            return HTTPStatus.OK, key_authorization(token, thumbprint).encode()
        content = None if self.edge.webroot is None else _read(self.edge.webroot, token)
        if content is not None:
            return HTTPStatus.OK, content
        if self.edge.standalone_port is None:
            return HTTPStatus.NOT_FOUND, b"No such challenge.\n"
        return _forward(self.edge.standalone_port, token, self.headers.get("Host", ""))


def _read(webroot: Path, token: str) -> bytes | None:
    """Return the content of the webroot's file for `token`, or None if it is no regular file. Links are not followed."""
    try:
        descriptor = os.open(f"{webroot}{_CHALLENGES}{token}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        return os.read(descriptor, _LONGEST_ANSWER) if regular else None
    finally:
        os.close(descriptor)


def _forward(port: int, token: str, host: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(ADDRESS, port, timeout=_FORWARD_SECONDS)
    try:
        connection.request("GET", _CHALLENGES + token, headers={"Host": host})
        response = connection.getresponse()
        return response.status, response.read(_LONGEST_ANSWER)
    except (OSError, http.client.HTTPException):
        return HTTPStatus.BAD_GATEWAY, b"The standalone responder does not answer.\n"
    finally:
        connection.close()
