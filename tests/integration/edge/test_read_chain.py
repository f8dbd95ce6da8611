"""`edge.read_chain` against real TLS servers."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trustme
from cryptography import x509

from sslctl.edge import NoAnswer, NotServed, read_chain
from tests.support.misbehaving import Behaviour, Misbehaving, silence

NAME = "shop.example.com"
SECONDS = 0.5


@contextmanager
def server(*behaviours: Behaviour, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Run a server for the block, and yield its port."""
    with Misbehaving(*behaviours, tls=tls) as running:
        yield int(running.url.rpartition(":")[2].rstrip("/"))


def names_of(der: bytes) -> list[str]:
    certificate = x509.load_der_x509_certificate(der)
    return certificate.extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    ).value.get_values_for_type(x509.DNSName)


def test_chain_has_the_leaf_first_and_its_issuer() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().create_child_ca().issue_cert(NAME).configure_cert(context)
    with server(silence, tls=context) as port:
        leaf, issuer = read_chain("127.0.0.1", port, NAME, SECONDS)
    assert names_of(leaf) == [NAME]
    assert x509.load_der_x509_certificate(issuer).subject == x509.load_der_x509_certificate(leaf).issuer


def test_certificate_is_chosen_by_sni() -> None:
    authority = trustme.CA()
    others = {}
    for name in (NAME, "other.example.com"):
        others[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(others[name])
    front = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        connection.context = others[name or ""]

    front.sni_callback = choose
    with server(silence, tls=front) as port:
        assert [names_of(read_chain("127.0.0.1", port, name, SECONDS)[0]) for name in others] == [
            [name] for name in others
        ]


@contextmanager
def plain_server(response: bytes, *, is_reset: bool = False) -> Iterator[int]:
    """Answer the first connection with `response`, and end it, by a reset with `is_reset`. Yield the port."""

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(response)
            if is_reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield int(listener.getsockname()[1])
        thread.join()


@pytest.mark.parametrize(
    ("response", "is_reset"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False),
        (b"", False),
        (b"\x15\x03\x03\x00\x02\x02\x70", False),
        (b"", True),
    ],
    ids=["http", "end", "alert", "reset"],
)
def test_answer_that_is_no_certificate_is_not_served(response: bytes, *, is_reset: bool) -> None:
    with plain_server(response, is_reset=is_reset) as port, pytest.raises(NotServed):
        read_chain("127.0.0.1", port, NAME, 5)


def test_silence_is_no_answer() -> None:
    with server(silence) as port, pytest.raises(NoAnswer, match="within"):
        read_chain("127.0.0.1", port, NAME, SECONDS)


def test_refused_connection_is_no_answer() -> None:
    with server(silence) as port:
        pass
    with pytest.raises(NoAnswer, match="refused"):
        read_chain("127.0.0.1", port, NAME, SECONDS)
