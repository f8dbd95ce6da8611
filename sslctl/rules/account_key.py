"""The key of the account at the CA: a JSON Web Key (RFC 7517), and its thumbprint (RFC 7638)."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

# The members that a thumbprint covers, in lexicographic order (RFC 7638, section 3.2), by the type of the key.
_MEMBERS = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n")}


class KeyRole(StrEnum):
    """What a stored account key is for.

    `NEXT` was prepared and is used by no CA. `PREVIOUS` was the current one, and a CA may still have it as that of our account.
    """

    CURRENT = "current"
    NEXT = "next"
    PREVIOUS = "previous"


@dataclass(frozen=True, slots=True)
class AccountKey:
    """An account key: `jwk` is the private JSON Web Key as text, a secret."""

    jwk: str = field(repr=False)
    created_at: datetime

    @property
    def thumbprint(self) -> str:
        """The thumbprint, which every edge answers after the token. Raise `ValueError` if it is not a key."""
        return thumbprint_of(self.jwk)


def thumbprint_of(jwk: str) -> str:
    """Return the thumbprint of a key in base64url without padding (RFC 7638). Raise `ValueError` if `jwk` is not a key."""
    try:
        content = json.loads(jwk)
        covered = {name: str(content[name]) for name in _MEMBERS[content["kty"]]}
    except (ValueError, KeyError, TypeError, RecursionError):
        # No member of a private key may be quoted.
        raise ValueError("it is not a JSON Web Key of the type EC or RSA") from None
    digest = sha256(json.dumps(covered, separators=(",", ":")).encode()).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()
