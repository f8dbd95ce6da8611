"""The reference C4, served over HTTPS on loopback.

It implements the published contract completely: an upload is checked, stored, activated and served by `edge.Edge`.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from sslctl.sandbox.c4.app import Features, build_app
from sslctl.sandbox.c4.faults import Fault, Faults, FaultyGateway, Request
from sslctl.sandbox.c4.http import Server
from sslctl.sandbox.c4.records import Placed, Records
from sslctl.sandbox.listeners import ADDRESS, Listener

_BACKLOG = 512


class ReferenceC4:
    """A C4 with its persistent state in `folder`; use as a context manager, or `start` and `stop`.

    `tls` has the server's own certificate, for 127.0.0.1. `clock` returns aware UTC. An upload becomes active after
    `activation_seconds`. Port 0 takes a free port, which is kept from the first start on. Raise `ValueError` for an empty
    token, and `StateError` if `folder` contains other files. `features` are the optional parts of the contract that it has.
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
        self.features = Features()
        app = build_app(
            self._records,
            self._faults,
            token=token,
            clock=clock,
            activation=timedelta(seconds=activation_seconds),
            features=self.features,
        )
        self._stopping = threading.Event()
        self._gateway = FaultyGateway(app, self._faults, self._stopping)
        self._tls = tls
        self._port = port
        self._listener: Listener | None = None

    @property
    def url(self) -> str:
        """The base URL without a slash at the end. It is valid after the first start."""
        return f"https://{ADDRESS}:{self._port}"

    @property
    def requests(self) -> Sequence[Request]:
        """Every request of the contract so far, without those to the sandbox's administration."""
        return self._gateway.requests

    def start(self) -> None:
        """Listen. Raise `OSError` if the port is in use."""
        self._stopping.clear()
        # werkzeug would end the whole process if the port is in use, so the socket is created here.
        with socket.create_server((ADDRESS, self._port), backlog=_BACKLOG) as bound:
            self._port = bound.getsockname()[1]
            server = Server(bound, self._gateway, self._tls)
        self._listener = Listener(server)

    def stop(self) -> None:
        """Stop listening, and end delayed responses early. Do nothing if not started."""
        self._stopping.set()
        if self._listener is not None:
            self._listener.stop()
            self._listener = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def create_domain(
        self, domain: str, *, cname_target: str, ports: Sequence[int] = (80, 443), customer: str = ""
    ) -> None:
        """Create `domain`, a lower-case A-label, or change an existing one, which keeps its certificate.

        Raise `ValueError` for invalid values.
        """
        self._records.create(domain, cname_target, ports, customer)

    def delete_domain(self, domain: str) -> bool:
        """Remove `domain` with its certificate. Return False if there is no such domain."""
        return self._records.delete(domain)

    def set_faults(self, *faults: Fault) -> None:
        """Replace the injected faults. Only the first that applies to a request acts."""
        self._faults.set(faults)

    def heal(self) -> None:
        """Clear all faults."""
        self._faults.set(())

    def knows(self, domain: str) -> bool:
        """Return whether `domain` exists."""
        return self._records.find(domain) is not None

    def serving(self, domain: str) -> Placed | None:
        """Return the certificate, with its key, that the edge must serve for `domain` now, or None."""
        site = self._records.find(domain)
        return None if site is None else site.serving(self._clock())
