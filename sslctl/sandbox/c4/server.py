"""The reference C4, served over HTTPS on loopback.

It keeps the published contract for real: what is uploaded is checked, stored, activated and, by `edge.Edge`, served.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from sslctl.sandbox.c4.app import build_app
from sslctl.sandbox.c4.faults import Fault, Faults, FaultyGateway, Request
from sslctl.sandbox.c4.http import Server
from sslctl.sandbox.c4.records import Placed, Records
from sslctl.sandbox.listeners import ADDRESS, Listener

_BACKLOG = 512


class ReferenceC4:
    """A C4 whose state lives in `folder` and survives it; use as a context manager, or `start` and `stop`.

    `tls` holds the server's own certificate, for 127.0.0.1. `clock` gives aware UTC. An upload becomes active
    `activation_seconds` after it came. Port 0 takes a free port, which is kept from the first start on. Raises
    `ValueError` for an empty token and `StateError` for a folder that holds something else.
    """

    def __init__(
        self,
        folder: Path,
        *,
        token: str,
        tls: ssl.SSLContext,
        clock: Callable[[], datetime],
        activation_seconds: float = 0,
        port: int = 0,
    ) -> None:
        self.folder = folder
        self._records = Records(folder)
        self._faults = Faults()
        self._clock = clock
        activation = timedelta(seconds=activation_seconds)
        app = build_app(self._records, self._faults, token=token, clock=clock, activation=activation)
        self._stopping = threading.Event()
        self._gateway = FaultyGateway(app, self._faults, self._stopping)
        self._tls = tls
        self._port = port
        self._listener: Listener | None = None

    @property
    def url(self) -> str:
        """The base URL, without a slash at the end; known once started."""
        return f"https://{ADDRESS}:{self._port}"

    @property
    def requests(self) -> Sequence[Request]:
        """Every request of the contract so far; what the sandbox's administration was asked is not among them."""
        return self._gateway.requests

    def start(self) -> None:
        """Listen. Raises `OSError` where the port is taken."""
        self._stopping.clear()
        # werkzeug would end the whole process over a port that is taken, so the socket is ours.
        with socket.create_server((ADDRESS, self._port), backlog=_BACKLOG) as bound:
            self._port = bound.getsockname()[1]
            server = Server(bound, self._gateway, self._tls)
        self._listener = Listener(server)

    def stop(self) -> None:
        """Stop listening and cut delayed answers short; harmless when not started."""
        self._stopping.set()
        if self._listener is not None:
            self._listener.stop()
            self._listener = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def create_domain(self, domain: str, *, cname_target: str, ports: Sequence[int] = (80, 443)) -> None:
        """Create `domain`, a lower-case A-label, or change an existing one, which keeps its certificate.

        Raises `ValueError` for what cannot be.
        """
        self._records.create(domain, cname_target, ports)

    def delete_domain(self, domain: str) -> bool:
        """Remove `domain` with its certificate; False where there was none."""
        return self._records.delete(domain)

    def set_faults(self, *faults: Fault) -> None:
        """Switch on exactly these faults; the first one that meets a request acts."""
        self._faults.set(faults)

    def heal(self) -> None:
        """Switch all faults off."""
        self._faults.set(())

    def knows(self, domain: str) -> bool:
        """Say whether `domain` exists."""
        return self._records.find(domain) is not None

    def serving(self, domain: str) -> Placed | None:
        """Give what the edge must serve for `domain` now, key included; None where there is nothing."""
        site = self._records.find(domain)
        return None if site is None else site.serving(self._clock())
