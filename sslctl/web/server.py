"""The HTTP server of the page."""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import Any

from flask import Flask
from waitress.server import create_server

from sslctl.errors import ConfigError

_THREADS = 8
_MOST_CONNECTIONS = 100
_MOST_HEADER_BYTES = 32 * 1024
_MOST_BODY_BYTES = 1024 * 1024
_SILENT_SECONDS = 30


class Listener:
    """A TCP socket on the address `host` and `port`, 0 for a free one. It holds connections from now on.

    Raise `ConfigError` if it cannot listen there.
    """

    def __init__(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET  # noqa: PLR2004
        try:
            self._socket = socket.create_server((host, port), family=family)
        except OSError as error:
            in_use = error.errno == errno.EADDRINUSE
            raise ConfigError(
                f"cannot listen on {host}, port {port}: {error.strerror}",
                hint="choose another port with --port; --port 0 takes a free one" if in_use else None,
            ) from error

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return int(self._socket.getsockname()[1])

    def serve(self, site: Flask) -> None:
        """Answer requests with `site` until a signal raises `KeyboardInterrupt`; those under way are finished."""
        server: Any = create_server(
            site,
            sockets=[self._socket],
            threads=_THREADS,
            connection_limit=_MOST_CONNECTIONS,
            channel_timeout=_SILENT_SECONDS,
            max_request_header_size=_MOST_HEADER_BYTES,
            max_request_body_size=_MOST_BODY_BYTES,
            # No header names the program.
            ident=None,
            expose_tracebacks=False,
            clear_untrusted_proxy_headers=True,
        )
        try:
            server.run()
        finally:
            server.close()

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()
