"""A web application over HTTPS, on connections that stay open between requests, as a control plane's do.

werkzeug's own handler closes every connection, so that each request would cost a TLS handshake on both sides.
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
# What is longer is not read to its end; who sends it may not see the answer.
_LARGEST_REQUEST = 1 << 24


class Server(ThreadedWSGIServer):
    """Serves `app` on the listening socket `bound`, which it copies. Ends its connections when it is closed itself."""

    def __init__(self, bound: socket.socket, app: WSGIApplication, tls: ssl.SSLContext) -> None:
        host, port = bound.getsockname()
        self._open: set[socket.socket] = set()
        super().__init__(host, port, app, _Handler, fd=bound.fileno())
        # The handshake is made in the connection's own thread: a silent client must not hold up the others.
        self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.ssl_context = tls

    def process_request(self, request: Any, client_address: Any) -> None:
        """Keep in mind that this connection is open, and serve it."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """End this connection."""
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Complain of what is no trouble of a client's: one that was killed leaves in the middle of an answer."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        """Close the port and every connection."""
        super().server_close()
        for connection in tuple(self._open):
            with suppress(OSError):
                # Not TLS's own, which would wait for the other side.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)


class _Handler(WSGIRequestHandler):
    """Silent about requests, which the gateway logs; bounded in its patience."""

    timeout = 30
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # an answer is sent as one piece

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
            # The client is gone, or a fault drops the connection.
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
        """Read the body before it is asked for: what the application left of it would be taken for the next request."""
        if environ.get("wsgi.input_terminated"):
            body = io.BufferedReader(environ["wsgi.input"]).read(_LARGEST_REQUEST)
            self.close_connection = True
        else:
            told = environ.get("CONTENT_LENGTH", "0")
            wanted = int(told) if _LENGTH.fullmatch(told) else 0
            body = self.rfile.read(min(wanted, _LARGEST_REQUEST))
            self.close_connection |= told != str(len(body))
        environ["wsgi.input"] = io.BytesIO(body)

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        pass

    def connection_dropped(self, error: BaseException, environ: Any = None) -> None:  # noqa: ARG002 - werkzeug's signature
        self.close_connection = True
