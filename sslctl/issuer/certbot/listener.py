"""Standalone mode: one listener on the HTTP-01 port answers the challenges of every order under way.

certbot writes the answers into a folder, as in webroot mode, and this serves them and nothing else.
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
# The port is open to everybody; a CA needs a handful of connections for each of the orders under way.
_MOST_CONNECTIONS = 512


class Listener:
    """Answers on `port` of `address`, or of all addresses, IPv4 and IPv6, where `address` is empty, from `folder`.

    Several processes of one user may listen at once, and any of them may be asked, since they share the folder.
    Raises `OSError`.
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
        backlog=_MOST_CONNECTIONS,
        reuse_port=True,
        dualstack_ipv6=dualstack,
    )


def _is_free(address: str, port: int, folder: Path) -> bool:
    """Say whether nobody listens there but those who serve `folder`: a shared port would hide anybody else."""
    asked = secrets.token_urlsafe()
    answer = folder / asked
    connection = http.client.HTTPConnection(address or "localhost", port, timeout=_READ_SECONDS)
    try:
        connection.connect()
        answer.write_text(asked)
        connection.request("GET", f"/.well-known/acme-challenge/{asked}")
        return connection.getresponse().read(len(asked) + 1) == asked.encode()
    except ConnectionRefusedError:
        return True
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
        answer.unlink(missing_ok=True)


def find_trouble(address: str, port: int) -> str:
    """Give why nobody could listen there now, empty where one could; only tried, and given up at once."""
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
    """A server on a socket that listens already."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, listening: socket.socket, folder: Path) -> None:
        super().__init__(listening.getsockname(), _Handler)
        self.socket = listening
        self.folder = folder
        self._room = threading.BoundedSemaphore(_MOST_CONNECTIONS)

    def fileno(self) -> int:
        """For the selector of `serve_forever`."""
        return self.socket.fileno()

    def get_request(self) -> tuple[socket.socket, object]:
        """Accept a connection."""
        return self.socket.accept()

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]  # narrower
        """Answer in a thread; a connection too many is closed at once."""
        if not self._room.acquire(blocking=False):
            request.close()
            return
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]  # narrower
        """End a connection that was answered."""
        self._room.release()
        request.close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep a visitor's broken connection to ourselves."""

    def server_close(self) -> None:
        """Stop listening."""
        self.socket.close()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _READ_SECONDS
    server_version = "sslctl"
    sys_version = ""

    def do_GET(self) -> None:
        """Give the answer to a challenge."""
        found = _PATH.fullmatch(self.path)
        try:
            answer = (self.server.folder / found[1]).read_bytes() if found else None
        except FileNotFoundError:
            answer = None
        if answer is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server names it
        """Whoever visits the port is nobody's business here."""
