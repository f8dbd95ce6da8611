"""The HTTP server of the page: waitress, with bounds for what a client may send, and for how long."""

from __future__ import annotations

import logging
import socket
import time
from collections import Counter
from collections.abc import Collection
from typing import Any

from flask import Flask
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import create_server
from waitress.task import ErrorTask

from sslctl.web.access.headers import response_headers

_LOG = logging.getLogger("sslctl.web")
_THREADS = 8
_MOST_CONNECTIONS = 100
_MOST_HEADER_BYTES = 32 * 1024
_MOST_BODY_BYTES = 1024 * 1024
_SILENT_SECONDS = 30
_LONGEST_SECONDS = 60.0


def serve(
    site: Flask,
    listening: socket.socket,
    *,
    scheme: str = "http",
    trusted_headers: Collection[str] = (),
    longest_seconds: float = _LONGEST_SECONDS,
) -> None:
    """Answer the requests that `listening` accepts with `site` until a signal raises `KeyboardInterrupt`.

    Requests under way are finished. `scheme` is how browsers reach the site. If a request has one of `trusted_headers` twice,
    in any spelling, all of them are removed from it. A client has `longest_seconds` to send a request.
    """
    server: Any = create_server(
        site,
        sockets=[listening],
        threads=_THREADS,
        connection_limit=_MOST_CONNECTIONS,
        channel_timeout=_SILENT_SECONDS,
        max_request_header_size=_MOST_HEADER_BYTES,
        max_request_body_size=_MOST_BODY_BYTES,
        url_scheme=scheme,
        # No header names the program.
        ident=None,
        expose_tracebacks=False,
        clear_untrusted_proxy_headers=True,
    )
    server.channel_class = _make_channel_class(trusted_headers, longest_seconds)
    try:
        server.run()
    finally:
        server.close()


def _make_channel_class(trusted_headers: Collection[str], longest_seconds: float) -> type[Any]:
    """Return the class of connections, which waitress instantiates itself."""
    folded_trusted = frozenset(map(_fold, trusted_headers))

    class Parser(HTTPRequestParser):  # type: ignore[misc]
        """A parser that accepts trusted headers only once."""

        def parse_header(self, header_plus: bytes) -> None:
            """Parse the start line and the headers in `header_plus`. Raise `ParsingError` if they are malformed."""
            lines = header_plus.split(b"\r\n")[1:]
            if any(line.startswith((b" ", b"\t")) for line in lines):
                # RFC 9112, section 5.2. A second header could hide in the continuation of a first one.
                raise ParsingError("Continued header line")
            super().parse_header(header_plus)
            # waitress joins headers with one name, and leaves out those with an underscore.
            sent = Counter(_fold(line.partition(b":")[0].decode("latin-1")) for line in lines)
            if any(sent[name] > 1 for name in folded_trusted):
                for name in folded_trusted:
                    self.headers.pop(name, None)

    class Channel(HTTPChannel):  # type: ignore[misc]
        """A connection that is closed if a client takes too long to send a request."""

        parser_class = Parser
        error_task_class = _ErrorTask
        _began = 0.0

        def received(self, data: bytes) -> bool:
            """Read `data`, and return whether more may be read."""
            if self.request is None:
                self._began = time.monotonic()
            return bool(super().received(data))

        def readable(self) -> bool:
            """Return whether data may be read. The server asks at least once a second."""
            # waitress ends silent connections only: one that sends a byte from time to time would stay for ever.
            if self.request is not None and time.monotonic() - self._began > longest_seconds:
                self.will_close = True
            return bool(super().readable())

    return Channel


class _ErrorTask(ErrorTask):  # type: ignore[misc]
    """The response to a request that the site never sees: malformed, or too large."""

    def execute(self) -> None:
        """Write the response."""
        error = self.request.error
        _LOG.info("refused before the page: %d %s", error.code, error.reason)
        scheme = self.channel.server.adj.url_scheme
        self.response_headers.extend(response_headers(scheme).items())
        super().execute()


def _fold(name: str) -> str:
    """Return `name` as WSGI folds the names of headers (PEP 3333): X-Person and x_person are the same."""
    return name.strip().upper().replace("-", "_")
