"""Keys at rest: the encryption of private keys, its rotation, and keys that no one needs any more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sslctl.rules.model import Certificate, Domain


@dataclass(frozen=True, slots=True)
class Rotated:
    """The result of a key rotation.

    `rewrapped` is the number of secrets that were re-encrypted. `went_on` is true if the new key was in the key file
    before: an earlier rotation was killed, or someone added it by hand. `left` is the number of old keys that stay in a
    file that sslctl may not write; they may be removed by hand.
    """

    rewrapped: int
    went_on: bool
    left: int


class Keys(Protocol):
    """The encrypted private keys."""

    def rotate_keys(self) -> Rotated:
        """Re-encrypt all secrets with a new key, and drop the old keys. Other processes may work in the meantime.

        If it is killed at any moment, the key file still decrypts everything, and the next call does the rest. Raise
        `Busy` while another rotation runs, and `StateError` if the key file cannot be changed or does not decrypt
        everything.
        """

    def require_keys(self) -> None:
        """Raise `StateError` unless the key file decrypts every stored secret."""

    def domains_with_spare_keys(self, issued_until: datetime) -> Iterator[str]:
        """Yield the names, sorted, of domains with a key whose certificate is neither wanted nor served, and issued by `issued_until`.

        It reads some hundred domains at a time, and other processes can write in the meantime.
        """

    def destroy_key(self, domain: Domain, certificate: Certificate) -> None:
        """Destroy the private key of `certificate`, for good. Raise `Busy` if it is wanted or served by now."""
