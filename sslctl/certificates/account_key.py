"""Make keys of accounts at a CA."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode

from cryptography.hazmat.primitives.asymmetric import ec

_BYTES = 32


def make_account_key() -> str:
    """Return a new P-256 key as the text of a private JSON Web Key (RFC 7518, section 6.2)."""
    numbers = ec.generate_private_key(ec.SECP256R1()).private_numbers()
    public = numbers.public_numbers
    members = {"x": public.x, "y": public.y, "d": numbers.private_value}
    return json.dumps(
        {"kty": "EC", "crv": "P-256", **{name: _encode(number) for name, number in members.items()}}
    )


def _encode(number: int) -> str:
    return urlsafe_b64encode(number.to_bytes(_BYTES, "big")).rstrip(b"=").decode()
