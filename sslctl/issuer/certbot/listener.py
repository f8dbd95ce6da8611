"""Standalone mode: one HTTP server on the HTTP-01 port for the challenges of all orders.

The challenge files are written to a folder, as in webroot mode. The listener serves these files and nothing else.
"""

from __future__ import annotations

import http.client
import re
import secrets
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import BaseServer, ThreadingMixIn

from sslctl.issuer.certbot.challenge_files import TOKEN

_PATH = re.compile(rf"/\.well-known/acme-challenge/({TOKEN.pattern})")
_READ_SECONDS = 10
# The port is open to everybody; a CA needs a few connections for each open order.
_MAX_CONNECTIONS = 512


class Listener:
    """An HTTP server on `port` of `address` for the files of `folder`. Raise `OSError` if it cannot listen.

    An empty `address` means all addresses, IPv4 and IPv6. Several processes of one user may listen on the same port: they
    share the folder, so any of them can respond.
    """

    def __init__(self, address: str, port: int, folder: Path) -> None:
        where = f"port {port} of {address}" if address else f"port {port}"
        if not _is_free(address, port, folder):
            raise OSError(f"{where}, which HTTP-01 needs, is used by another program")
        try:
            self._server = _Server(_bind(address, port), folder)
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
        backlog=_MAX_CONNECTIONS,
        reuse_port=True,
        dualstack_ipv6=dualstack,
    )


def _is_free(address: str, port: int, folder: Path) -> bool:
    """Return whether the port is free, or used only by listeners that serve `folder`.

    A shared port (`SO_REUSEPORT`) would hide any other listener of our user.
    """
    name = secrets.token_urlsafe()
    file = folder / name
    connection = http.client.HTTPConnection(address or "localhost", port, timeout=_READ_SECONDS)
    try:
        connection.connect()
        file.write_text(name)
        connection.request("GET", f"/.well-known/acme-challenge/{name}")
        return connection.getresponse().read(len(name) + 1) == name.encode()
    except ConnectionRefusedError:
        return True
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
        file.unlink(missing_ok=True)


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

    def __init__(self, listening: socket.socket, folder: Path) -> None:
        super().__init__(listening.getsockname(), _Handler)
        self.socket = listening
        self.folder = folder
        self._slots = threading.BoundedSemaphore(_MAX_CONNECTIONS)

    def fileno(self) -> int:
        """Return the descriptor for the selector of `serve_forever`."""
        return self.socket.fileno()

    def get_request(self) -> tuple[socket.socket, object]:
        """Accept a connection."""
        return self.socket.accept()

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]  # narrower
        """Handle a connection in a thread; close it at once if there are too many."""
        if not self._slots.acquire(blocking=False):
            request.close()
            return
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]  # narrower
        """Close a connection and free its slot."""
        self._slots.release()
        request.close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore broken connections of clients."""

    def server_close(self) -> None:
        """Stop listening."""
        self.socket.close()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _READ_SECONDS
    server_version = "sslctl"
    sys_version = ""

    def do_GET(self) -> None:
        """Serve a challenge file."""
        found = _PATH.fullmatch(self.path)
        try:
            content = (self.server.folder / found[1]).read_bytes() if found else None
        except FileNotFoundError:
            content = None
        if content is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server names it
        """Do not log requests."""
