"""Secrets in every encoding in which they could leak, and the search for them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

_P256_OCTETS = 32
_HEADER = "-----"


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret: what it is, and its encodings."""

    what: str
    forms: frozenset[bytes]

    def is_in(self, content: bytes) -> bool:
        """Return whether `content` contains one of the encodings."""
        return any(form in content for form in self.forms)


def from_text(what: str, secret: bytes) -> Secret:
    """Return a secret that is text, such as a token."""
    return Secret(what, frozenset(_encoded(secret)))


def from_key(what: str, pem: str) -> Secret:
    """Return an EC private key: the number itself, and the lines of its PEM."""
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    number = key.private_numbers().private_value.to_bytes(_P256_OCTETS)
    # The last line holds only the public key.
    lines = [line.encode() for line in pem.splitlines() if line and not line.startswith(_HEADER)][:-1]
    return Secret(what, frozenset({*_encoded(number), *lines}))


def from_account(path: Path) -> Secret:
    """Return an account's EC key, which certbot stores as a JWK in the file `path`."""
    number = json.loads(path.read_text())["d"]
    return Secret("the account's key", frozenset(_encoded(base64.urlsafe_b64decode(number + "="))))


def from_key_file(path: Path) -> list[Secret]:
    """Return the Fernet keys in the file `path`, each as text and decoded."""
    return [
        Secret("the master key", frozenset({*_encoded(line), *_encoded(base64.urlsafe_b64decode(line))}))
        for line in path.read_bytes().split()
    ]


def find(secrets: Iterable[Secret], contents: Iterable[tuple[str, bytes]]) -> Iterator[tuple[Secret, str]]:
    """Yield each secret with the place where it was found. `contents` are pairs of place and bytes."""
    wanted = list(secrets)
    for where, content in contents:
        yield from ((secret, where) for secret in wanted if secret.is_in(content))


def _encoded(secret: bytes) -> Iterator[bytes]:
    """Yield `secret` itself, its hexadecimal forms, and the part of its base64 forms that does not depend on the context."""
    yield secret
    for separator in ("", ":"):
        text = secret.hex(separator) if separator else secret.hex()
        yield from (text.encode(), text.upper().encode())
    for before in range(3):
        # An octet spans two characters, so the first and last ones depend on the neighbouring octets.
        begins = -(-8 * before // 6)
        ends = 8 * (before + len(secret)) // 6
        padded = bytes(before) + secret
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(padded)[begins:ends]
