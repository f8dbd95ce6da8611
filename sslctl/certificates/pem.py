"""Keys and certificates as PEM text (RFC 7468).

For any text, `BadInput` is the only error that is raised, and no message contains key material. Text around the PEM blocks
is ignored: a byte order mark, "Bag Attributes", explanations (section 2).
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

from sslctl.errors import BadInput

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
SHORTEST_RSA = 2048

_LARGEST = 256 * 1024
# An RSA key of 8192 bits has 6.3 KiB of PEM text. The prime checks of larger keys take seconds to minutes.
_LARGEST_KEY = 8 * 1024

_BOUNDARY = re.compile(r"-----(BEGIN|END) ([A-Z0-9 ]{1,40})-----")
_CERTIFICATE_LABELS = ("CERTIFICATE", "X509 CERTIFICATE")

# The errors of `cryptography` for invalid DER and PEM. Its warnings are errors under `python -W error`.
UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,  # of older versions, for some extensions
    UnsupportedAlgorithm,
    UserWarning,  # of what is deprecated, and of a country that has not two letters
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


class _Block(NamedTuple):
    label: str
    body: str


@contextmanager
def translating_errors(message: str) -> Iterator[None]:
    """Turn the errors of `cryptography` in the block into `BadInput(message)`.

    Their own text is dropped, because it could quote the pasted input.
    """
    try:
        yield
    except UNREADABLE:
        raise BadInput(message) from None


def _read_blocks(pem: str, what: str) -> list[_Block]:
    """Return the PEM blocks of `pem`, in linear time for any text."""
    if len(pem) > _LARGEST:
        raise BadInput(f"{what} is larger than {_LARGEST // 1024} KiB")
    marks = list(_BOUNDARY.finditer(pem))
    blocks = []
    for begin, end in zip(marks[::2], marks[1::2], strict=False):
        if (begin[1], end[1]) != ("BEGIN", "END") or begin[2] != end[2]:
            raise BadInput(f"{what} is broken: the END line of a PEM block does not match its BEGIN line")
        blocks.append(_Block(begin[2], pem[begin.end() : end.start()]))
    if len(marks) % 2:
        raise BadInput(f"{what} is broken: a PEM block is incomplete")
    return blocks


def read_certificates(pem: str, what: str, *, among_others: bool = False) -> list[x509.Certificate]:
    """Return the certificates of `pem`, at least one. Messages call the text `what`.

    Raise `BadInput`, also for a PEM block that is no certificate, unless `among_others`.
    """
    blocks = _read_blocks(pem, what)
    others = [block.label for block in blocks if block.label not in _CERTIFICATE_LABELS]
    if not blocks:
        raise BadInput(f"{what} contains no PEM certificate")
    if others and (not among_others or len(others) == len(blocks)):
        raise BadInput(f"{what} is wrong: it contains a PEM block {others[0]!r}, which is no certificate")
    bodies = [block.body for block in blocks if block.label in _CERTIFICATE_LABELS]
    return [_read_certificate(body, what, place) for place, body in enumerate(bodies, 1)]


def _read_certificate(body: str, what: str, place: int) -> x509.Certificate:
    with translating_errors(f"certificate {place} in {what} cannot be read"):
        der = base64.b64decode("".join(body.split()), validate=True)
        certificate = x509.load_der_x509_certificate(der)
    # RFC 5280, section 4.1.2.2. `cryptography` only warns about it.
    if certificate.serial_number <= 0:
        raise BadInput(f"certificate {place} in {what} has no positive serial number")
    return certificate


def read_key(pem: str) -> Key:
    """Return the only private key of `pem`. Raise `BadInput`, also for a key that no public CA certifies."""
    found = [block for block in _read_blocks(pem, "the key") if block.label.endswith("PRIVATE KEY")]
    if len(found) != 1:
        raise BadInput(f"expected one PEM private key, found {len(found) or 'none'}")
    label, body = found[0]
    # PKCS#8 states it in the label, the older formats in a header of RFC 1421.
    if label.startswith("ENCRYPTED") or "ENCRYPTED" in body:
        raise BadInput("the key is encrypted; use a key without a passphrase")
    if len(body) > _LARGEST_KEY:
        raise BadInput("the key is too large")
    with translating_errors("the key cannot be read"):
        lines = "\n".join(body.split())
        key = load_pem_private_key(
            f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n".encode(), None
        )
    return require_usable_key(key)


def require_usable_key(key: object) -> Key:
    """Return `key`. Raise `BadInput` if a public CA must not certify it (CA/Browser Forum BR, section 6.1.5)."""
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < SHORTEST_RSA:
            raise BadInput(f"the key is too weak: RSA {key.key_size}, the minimum is {SHORTEST_RSA}")
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in CURVES:
        return key
    raise BadInput("the key's type is not supported; use RSA, or ECDSA on P-256, P-384 or P-521")


def write_certificate(certificate: x509.Certificate) -> str:
    """Return `certificate` as one PEM block."""
    return certificate.public_bytes(Encoding.PEM).decode()


def write_key(key: Key) -> str:
    """Return `key` as unencrypted PKCS#8 PEM text."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
