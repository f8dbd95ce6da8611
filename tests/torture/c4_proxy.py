"""A proxy between sslctl and the reference C4 that injects any fault at any operation.

It forwards everything else, so that the next request meets a C4 with its state.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sslctl.sandbox.c4.faults import Operation
from tests.support.misbehaving import Behaviour, Misbehaving, silence

_OPERATIONS = (
    (Operation.LOOKUP, re.compile(rb"GET /v1/domains/[^/ ]+ ")),
    (Operation.UPLOAD, re.compile(rb"PUT /v1/domains/[^/ ]+/certificate ")),
    (Operation.READBACK, re.compile(rb"GET /v1/domains/[^/ ]+/certificate ")),
    (Operation.REMOVE, re.compile(rb"DELETE /v1/domains/[^/ ]+/certificate ")),
)
_ADDRESS = "127.0.0.1"
_DAY = timedelta(days=1)

Fault = Callable[[Callable[[], bytes]], Behaviour]
"""How a request is answered. Its argument forwards the request to C4 and returns C4's raw response."""


@dataclass(frozen=True, slots=True)
class Distrust:
    """TLS that must not be trusted, served instead of C4's own from some moment on."""

    tls: ssl.SSLContext


class C4Proxy(Misbehaving):
    """A proxy in front of the C4 at `url`, with certificates from `authority`; use as a context manager."""

    def __init__(self, url: str, authority: trustme.CA) -> None:
        super().__init__(silence, tls=context_of(authority.issue_cert(_ADDRESS)))
        self._c4 = (_ADDRESS, urlsplit(url).port or 0)
        self._own = self.tls
        self._upstream = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.configure_trust(self._upstream)
        self._fault: tuple[Operation, Fault] | None = None
        self._distrust: tuple[Operation, Distrust] | None = None

    def inject(
        self, operation: Operation, fault: Fault | Distrust, *, after: Operation | None = None
    ) -> None:
        """Answer `operation` by `fault` until `heal`. `Distrust` begins right after the operation `after`, or at once."""
        if not isinstance(fault, Distrust):
            self._fault = (operation, fault)
        elif after is None:
            self.tls = fault.tls
        else:
            self._distrust = (after, fault)

    def heal(self) -> None:
        """Forward everything."""
        self._fault = self._distrust = None
        self.tls = self._own

    def choose(self, request: bytes) -> Behaviour:
        operation = next((kind for kind, form in _OPERATIONS if form.match(request)), None)

        def ask() -> bytes:
            return self._ask(request)

        def pass_on(sock: socket.socket, server: Misbehaving) -> None:
            server.send(sock, ask())

        def pass_on_and_hide(sock: socket.socket, server: Misbehaving) -> None:
            assert self._distrust is not None
            pass_on(sock, server)
            self.tls = self._distrust[1].tls
            # The next request needs a new connection, which gets the other certificate.
            sock.shutdown(socket.SHUT_RDWR)

        if self._fault is not None and operation is self._fault[0]:
            return self._fault[1](ask)
        if self._distrust is not None and operation is self._distrust[0]:
            return pass_on_and_hide
        return pass_on

    def _ask(self, request: bytes) -> bytes:
        first, _, rest = request.partition(b"\r\n")
        with (
            socket.create_connection(self._c4, 10) as sock,
            self._upstream.wrap_socket(sock, server_hostname=_ADDRESS) as stream,
        ):
            stream.sendall(first + b"\r\nConnection: close\r\n" + rest)
            answer = b"".join(iter(lambda: stream.recv(1 << 16), b""))
        return answer.replace(b"Connection: close\r\n", b"", 1)


def context_of(pair: trustme.LeafCert) -> ssl.SSLContext:
    """Return a server's TLS context with the certificate and key of `pair`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair.configure_cert(context)
    return context


def distrusted(authority: trustme.CA) -> dict[str, Distrust]:
    """Return every kind of TLS that must not be trusted, by its flaw."""
    ago = datetime.now(UTC) - _DAY
    pairs = {
        "an expired certificate": authority.issue_cert(_ADDRESS, not_before=ago - _DAY, not_after=ago),
        "a certificate for another host": authority.issue_cert("c4.example.net"),
        "a certificate of an unknown CA": trustme.CA().issue_cert(_ADDRESS),
    }
    found = {name: Distrust(context_of(pair)) for name, pair in pairs.items()}
    return {**found, "a self-signed certificate": Distrust(_self_signed())}


def _self_signed() -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, _ADDRESS)])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - _DAY)
        .not_valid_after(datetime.now(UTC) + _DAY)
        .sign(key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with TemporaryDirectory() as folder:
        pem = Path(folder) / "pair.pem"
        pem.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context.load_cert_chain(pem)
    return context
