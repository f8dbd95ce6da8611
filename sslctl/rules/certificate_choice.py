"""What a person chose for the certificates of one domain, in place of what the configuration says for all."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace

from sslctl.errors import BadInput
from sslctl.text import clean

KEY_TYPES = ("p256", "p384", "rsa2048", "rsa3072", "rsa4096")
"""The kinds of keys: the curves P-256 and P-384, and RSA with that many bits."""
CONFIGURED = "default"
"""What a person writes for what the configuration says."""

# As acme.profile.
_PROFILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LONGEST_CHAIN = 200
_LABELS = {"key_type": "key type", "profile": "profile", "preferred_chain": "preferred chain"}


@dataclass(frozen=True, slots=True)
class CertificateChoice:
    """The choice for the next orders of a domain. An empty field is as configured.

    `preferred_chain` is the common name of the issuer of a chain's last certificate (certbot's `--preferred-chain`). If the CA offers
    no such chain, its default chain is used.
    """

    key_type: str = ""
    profile: str = ""
    preferred_chain: str = ""

    def describe(self) -> str:
        """Return the choice in words: `key type p384, profile shortlived`, or `as configured`."""
        chosen = [f"{label} {value}" for key, label in _LABELS.items() if (value := getattr(self, key))]
        return ", ".join(chosen) or "as configured"

    def changed(self, changes: CertificateChange) -> CertificateChoice:
        """Return the choice with `changes`."""
        given = {
            each.name: value for each in fields(changes) if (value := getattr(changes, each.name)) is not None
        }
        return replace(self, **given)


AS_CONFIGURED = CertificateChoice()


@dataclass(frozen=True, slots=True)
class CertificateChange:
    """A change of a choice: None leaves a field as it is, an empty text makes it as configured."""

    key_type: str | None = None
    profile: str | None = None
    preferred_chain: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes."""
        return self == CertificateChange()


def read_profile(text: str) -> str:
    """Return the name of a profile, empty for `default`. Raise `BadInput` if it cannot be one."""
    if text == CONFIGURED:
        return ""
    if not _PROFILE.fullmatch(text):
        raise BadInput(
            f"{clean(text, 70)!r} cannot be a profile: letters, digits, '.', '_' and '-', at most 64"
        )
    return text


def read_preferred_chain(text: str) -> str:
    """Return a part of an issuer's name, empty for `default`. Raise `BadInput` if it cannot be one."""
    if text == CONFIGURED:
        return ""
    if not text.strip() or len(text) > _LONGEST_CHAIN or clean(text, _LONGEST_CHAIN) != text:
        raise BadInput(f"the name of an issuer is one line of at most {_LONGEST_CHAIN} printable characters")
    return text
