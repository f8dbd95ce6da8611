"""Renewals: what spreading, the forecast and ARI polling read and write (ARI: RFC 9773)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sslctl.rules.model import Certificate, Domain, RenewalInfo
from sslctl.rules.reasons import Code


@dataclass(frozen=True, slots=True)
class Cohort:
    """The number of managed c4 domains with the same finding code, expiry and lifetime.

    `expires_at` is rounded down to the hour; for a revoked certificate it is the time of revocation. `issued_at` is its
    `not_before`, rounded down too. All three are None for domains without a certificate from the CA.
    """

    count: int
    code: Code | None
    expires_at: datetime | None = None
    lifetime: timedelta | None = None
    issued_at: datetime | None = None


class Renewals(Protocol):
    """Renewals to come and renewals made, of domains of source c4."""

    def cohorts(self) -> list[Cohort]:
        """Return the number of managed c4 domains by finding and by the expiry of their wanted certificate."""

    def renewed_since(self, at: datetime) -> int:
        """Return the number of certificates issued from `at` on that replaced another one from the CA."""

    def renewable(self, now: datetime, expires_from: datetime, limit: int) -> list[Domain]:
        """Return at most `limit` domains that may be renewed early, soonest expiry first.

        They are healthy, of source c4, their certificate expires at `expires_from` or later, and at `now` half of
        its lifetime is over.
        """

    def renewal_infos_due(self, now: datetime, limit: int, *, ca: str) -> list[tuple[Certificate, str]]:
        """Return at most `limit` certificates, with their PEM, whose renewal information is due to be polled at `now` at `ca`.

        `ca` is the URL of the CA's directory; those whose CA is not known count for the first one. They are of source c4, served, neither expired nor revoked. Those that were never polled come first.
        """

    def record_renewal_infos(self, infos: Iterable[tuple[Certificate, RenewalInfo]]) -> None:
        """Store the CA's renewal information of each certificate."""

    def postpone_renewal_infos(self, postponed: Iterable[tuple[Certificate, datetime]]) -> None:
        """Poll each certificate not before its time. Its stored renewal information stays."""
