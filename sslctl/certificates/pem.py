"""PEM text to keys and certificates and back (RFC 7468).

Whatever text comes in, `BadInput` is the only error that comes out, and no message holds key material. Text around
the PEM blocks (a byte order mark, "Bag Attributes", explanations; section 2) is passed over.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.utils import CryptographyDeprecationWarning

from sslctl.errors import BadInput

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
SHORTEST_RSA = 2048

_LARGEST = 256 * 1024
# An RSA key of 8192 bits is 6.3 KiB of PEM; checking the primes of larger ones takes from seconds to minutes.
_LARGEST_KEY = 8 * 1024

_BOUNDARY = re.compile(r"-----(BEGIN|END) ([A-Z0-9 ]{1,40})-----")
_CERTIFICATE_LABELS = ("CERTIFICATE", "X509 CERTIFICATE")

# What `cryptography` raises over DER and PEM that it cannot take; its warnings are raised under `python -W error`.
UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,  # of older versions, over some extensions
    UnsupportedAlgorithm,
    CryptographyDeprecationWarning,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


class _Block(NamedTuple):
    label: str
    body: str


@contextmanager
def readable(complaint: str) -> Iterator[None]:
    """Turn what `cryptography` raises in the block into `BadInput(complaint)`, without its words: they could quote what was pasted."""
    try:
        yield
    except UNREADABLE:
        raise BadInput(complaint) from None


def _read_blocks(pem: str, what: str) -> list[_Block]:
    """Give the PEM blocks of `pem`. Linear in its length, whatever it holds."""
    if len(pem) > _LARGEST:
        raise BadInput(f"{what} is larger than {_LARGEST // 1024} KiB")
    marks = list(_BOUNDARY.finditer(pem))
    blocks = []
    for begin, end in zip(marks[::2], marks[1::2], strict=False):
        if (begin[1], end[1]) != ("BEGIN", "END") or begin[2] != end[2]:
            raise BadInput(f"{what} is broken: a PEM block does not end as it began")
        blocks.append(_Block(begin[2], pem[begin.end() : end.start()]))
    if len(marks) % 2:
        raise BadInput(f"{what} is broken: a PEM block is cut off")
    return blocks


def read_certificates(pem: str, what: str, *, among_others: bool = False) -> list[x509.Certificate]:
    """Give the certificates of `pem`, which messages call `what`; at least one.

    Other blocks are an error unless `among_others`. Raises `BadInput`.
    """
    blocks = _read_blocks(pem, what)
    others = [block.label for block in blocks if block.label not in _CERTIFICATE_LABELS]
    if not blocks:
        raise BadInput(f"{what} holds no PEM certificate")
    if others and (not among_others or len(others) == len(blocks)):
        raise BadInput(f"{what} is wrong: it holds a PEM block {others[0]!r}, which is no certificate")
    bodies = [block.body for block in blocks if block.label in _CERTIFICATE_LABELS]
    return [_read_certificate(body, what, place) for place, body in enumerate(bodies, 1)]


def _read_certificate(body: str, what: str, place: int) -> x509.Certificate:
    with readable(f"certificate {place} in {what} cannot be read"):
        der = base64.b64decode("".join(body.split()), validate=True)
        certificate = x509.load_der_x509_certificate(der)
    # RFC 5280 section 4.1.2.2; `cryptography` itself only warns so far.
    if certificate.serial_number <= 0:
        raise BadInput(f"certificate {place} in {what} has no positive serial number")
    return certificate


def read_key(pem: str) -> Key:
    """Give the one private key of `pem`. Raises `BadInput`, also where no public CA would certify it."""
    found = [block for block in _read_blocks(pem, "the key") if block.label.endswith("PRIVATE KEY")]
    if len(found) != 1:
        raise BadInput(f"wanted one PEM private key, found {len(found) or 'none'}")
    label, body = found[0]
    # PKCS#8 says it in the label, the older forms in a header of RFC 1421.
    if label.startswith("ENCRYPTED") or "ENCRYPTED" in body:
        raise BadInput("the key is encrypted; give it without a passphrase")
    if len(body) > _LARGEST_KEY:
        raise BadInput("the key is too large")
    with readable("the key cannot be read"):
        lines = "\n".join(body.split())
        key = load_pem_private_key(
            f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n".encode(), None
        )
    return _usable(key)


def _usable(key: object) -> Key:
    """Give `key` back where a public CA may certify it (CA/Browser Forum BR section 6.1.5)."""
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < SHORTEST_RSA:
            raise BadInput(f"the key is too weak: RSA {key.key_size}, wanted at least {SHORTEST_RSA}")
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in CURVES:
        return key
    raise BadInput("the key's type is not supported; wanted RSA, or ECDSA on P-256, P-384 or P-521")


def write_certificate(certificate: x509.Certificate) -> str:
    """Give `certificate` as one PEM block."""
    return certificate.public_bytes(Encoding.PEM).decode()


def write_key(key: Key) -> str:
    """Give `key` as PEM PKCS#8, not encrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
