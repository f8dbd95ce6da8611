"""Versions: every certificate that a domain had, with its chain and key, and how far its delivery got."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sslctl.rules.model import Bundle, Certificate, Domain, Leaf, Order
from sslctl.rules.reasons import Code


class Versions(Protocol):
    """The versions of each domain's certificate, numbered from 1."""

    def certificates(self, domain: Domain) -> list[Certificate]:
        """Return all versions of the domain's certificate, newest first."""

    def certificates_of(self, domains: Sequence[Domain]) -> dict[int, list[Certificate]]:
        """Return what `certificates` returns for each of a block of domains, by the id of the domain, in one statement."""

    def bundle(self, certificate: Certificate) -> Bundle:
        """Return `certificate` with its chain and key. Raise `StateError` if its digest does not match."""

    def require_unchanged(self, certificate: Certificate) -> None:
        """Raise `StateError` if the stored certificate's digest does not match: disks do rot."""

    def add_issued_certificate(
        self, domain: Domain, order: Order, certificate: str, chain: str, leaf: Leaf
    ) -> Domain:
        """Store the PEM that the CA issued for `order` as a new version, make it the wanted one, and close the order."""

    def add_text_certificate(self, name: str, sans: tuple[str, ...], bundle: Bundle, leaf: Leaf) -> Domain:
        """Store a PEM pair as a new version of the domain `name`, managed or not, and make it the wanted one."""

    def add_imported_certificates(
        self, domain: Domain, certificates: Sequence[tuple[Bundle, Leaf]], ca: str
    ) -> Domain:
        """Store certificates that another program ordered for `domain`, the oldest first, as new versions; the last one is the wanted one.

        They count as issued at their `not_before`. `ca` is the URL of the directory of the CA, empty if it is not known: its limits
        count them as orders of ours.
        """

    def drop_wanted(self, domain: Domain, certificate: Certificate, why: str) -> Domain:
        """Record that `certificate`, the wanted one, is not installed; what is served is wanted again, if it is ours."""

    def withdraw_pair(self, domain: Domain, certificate: Certificate, why: str) -> Domain | None:
        """Record that `certificate`, a pasted pair that is the wanted one, is not installed, and return the domain.

        Its source, its other names and its wanted certificate are again those from before the pair was pasted, and consent to
        replace a text certificate ends. Return None, and change nothing, if the domain was not managed before.
        """

    def mark_uploading(self, certificate: Certificate) -> None:
        """Record the intent to upload, before the upload starts."""

    def mark_uploaded(self, certificate: Certificate) -> None:
        """Record that C4 accepted the upload."""

    def count_failed_upload(self, code: Code) -> None:
        """Count an upload that C4 did not accept, because of `code`; `Metrics.outcomes` returns the counts."""

    def mark_serving(self, domain: Domain, certificate: Certificate, *, wanted: Certificate | None) -> Domain:
        """Record that C4 serves `certificate`, and that `wanted` belongs there. The version served before is replaced.

        Consent to replace a text certificate ends.
        """

    def mark_not_serving(self, domain: Domain, why: str) -> Domain:
        """Record that C4 no longer serves the domain's certificate. It stays wanted."""

    def mark_revoked(self, certificate: Certificate, reason: str = "") -> None:
        """Record that the CA revoked `certificate`, for `reason` if one was named."""
