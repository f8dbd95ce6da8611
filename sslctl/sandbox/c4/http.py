"""An HTTPS server for a web application, with persistent connections.

werkzeug's own handler closes every connection, so that each request would need a TLS handshake.
"""

from __future__ import annotations

import io
import re
import socket
import ssl
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.wrappers import Response

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

_LENGTH = re.compile("[0-9]{1,12}")
# A longer request is not read to its end, and its client may not see the response.
_LARGEST_REQUEST = 1 << 24


class Server(ThreadedWSGIServer):
    """A server of `app` on a copy of the listening socket `bound`. Closing it ends its connections."""

    def __init__(self, bound: socket.socket, app: WSGIApplication, tls: ssl.SSLContext) -> None:
        host, port = bound.getsockname()
        self._open: set[socket.socket] = set()
        super().__init__(host, port, app, _Handler, fd=bound.fileno())
        # The handshake is made in the connection's own thread: a silent client must not block the others.
        self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.ssl_context = tls

    def process_request(self, request: Any, client_address: Any) -> None:
        """Register the open connection, and serve it."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close the connection."""
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report an error, unless it is a client that disconnects in the middle of a response."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        """Close the port and every connection."""
        super().server_close()
        for connection in tuple(self._open):
            with suppress(OSError):
                # Not the TLS shutdown, which would wait for the other side.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)


class _Handler(WSGIRequestHandler):
    """A handler with a timeout. It prints no requests, because the gateway logs them."""

    timeout = 30
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # a response is sent in one piece

    def run_wsgi(self) -> None:
        """Answer one request."""
        if self.headers.get("Expect", "").strip().lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.wfile.flush()
        try:
            environ = self.make_environ()
            self._read_body(environ)
            response = Response.from_app(self.server.app, environ, buffered=True)
        except OSError:
            # The client disconnected, or a fault drops the connection.
            self.close_connection = True
            return
        self.send_response(response.status_code)
        for name, value in response.headers:
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(response.get_data())

    def _read_body(self, environ: WSGIEnvironment) -> None:
        """Read the whole body first. Unread parts would be taken for the next request."""
        if environ.get("wsgi.input_terminated"):
            body = io.BufferedReader(environ["wsgi.input"]).read(_LARGEST_REQUEST)
            self.close_connection = True
        else:
            length = environ.get("CONTENT_LENGTH", "0")
            wanted = int(length) if _LENGTH.fullmatch(length) else 0
            body = self.rfile.read(min(wanted, _LARGEST_REQUEST))
            self.close_connection |= length != str(len(body))
        environ["wsgi.input"] = io.BytesIO(body)

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        pass

    def connection_dropped(self, error: BaseException, environ: Any = None) -> None:  # noqa: ARG002 - werkzeug's signature
        self.close_connection = True
