"""What the edge really serves: the certificates that a server presents in a TLS handshake.

The address is the caller's choice: whoever checks addresses (SSRF) connects to exactly the checked one.
"""

from __future__ import annotations

import socket
import ssl
from hashlib import sha256

from sslctl.text import clean


class NotServed(Exception):
    """There was a connection, and the server presented no certificate. `str()` of it is cleaned text."""


class NoAnswer(Exception):
    """There was no connection, or no answer in time: what is served is not known. `str()` of it is cleaned text."""


def read_chain(address: str, port: int, name: str, seconds: float) -> tuple[bytes, ...]:
    """Return the certificates (DER, the leaf first) that the server at `address` presents for the name `name` (SNI).

    Nothing is verified, and nothing is sent after the handshake. Connecting and the handshake may take `seconds` each. Raise
    `NotServed` or `NoAnswer`.
    """
    try:
        with (
            socket.create_connection((address, port), timeout=seconds) as sock,
            _context().wrap_socket(sock, server_hostname=name) as stream,
        ):
            return _chain_of(stream)
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionResetError) as error:
        raise NotServed("the server ended the TLS handshake without a certificate") from error
    except ssl.SSLError as error:
        reason = clean(error.reason or "the TLS handshake failed").replace("_", " ").lower()
        raise NotServed(f"the TLS handshake failed: {reason}") from error
    except TimeoutError as error:
        raise NoAnswer(f"no answer within {seconds:g} seconds") from error
    except OSError as error:
        raise NoAnswer(clean(error.strerror or error).lower()) from error


def read_fingerprint(address: str, port: int, name: str, seconds: float) -> str:
    """Return the SHA-256 fingerprint, in lower-case hexadecimal, of the leaf that `read_chain` returns. It raises the same."""
    return sha256(read_chain(address, port, name, seconds)[0]).hexdigest()


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # A weak key is served, too.
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


def _chain_of(stream: ssl.SSLSocket) -> tuple[bytes, ...]:
    """Return the whole chain; only the leaf if this Python cannot return the others."""
    leaf = stream.getpeercert(binary_form=True)
    if leaf is None:
        raise NotServed("the server presented no certificate")
    # Public from Python 3.13 on; before, the same method is one of a private attribute, and returns objects.
    if hasattr(stream, "get_unverified_chain"):
        return tuple(stream.get_unverified_chain())
    try:
        found = stream._sslobj.get_unverified_chain()  # type: ignore[attr-defined]  # noqa: SLF001
        return tuple(ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in found)
    except AttributeError:
        return (leaf,)
