"""Certificates that are to be revoked, and keys that must never be used again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

from sslctl.rules.model import Certificate, Domain
from sslctl.rules.revocation import Revocation, RevocationReason


class Revocations(Protocol):
    """Requested revocations, and compromised keys. `Versions.mark_revoked` ends a request."""

    def request_revocation(self, certificate: Certificate, reason: RevocationReason, *, waits: bool) -> None:
        """Record that `certificate` is to be revoked, in place of an earlier request. `waits` is as in `Revocation`."""

    def open_revocations(self, domain: Domain | None = None) -> list[Revocation]:
        """Return the requests for certificates of `domain`, or of all domains, that are neither revoked nor expired."""

    def postpone_revocation(self, certificate: Certificate, until: datetime, why: str) -> None:
        """Record that the CA did not revoke `certificate`, and when it is asked again."""

    def mark_key_compromised(self, key: str) -> None:
        """Record that the key with the fingerprint `key` (`x509.key_fingerprint`) must never be used again."""

    def is_key_compromised(self, key: str) -> bool:
        """Return whether `mark_key_compromised` was called for `key`."""

    def unexpired_certificates(self) -> Iterator[tuple[str, Certificate, str]]:
        """Yield every certificate that has not expired, of all domains, with its domain's name and its PEM."""
