"""When a certificate is renewed: a set time before its expiry, or when the CA asks for it (ARI, RFC 9773)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sslctl.rules.model import Certificate, Leaf, RenewalInfo

# A share of the lifetime. If the CA asks for the renewal before this share is over, something is wrong with the certificate.
_EARLY = 0.6


class Ari(StrEnum):
    """How far sslctl follows the CA's renewal information; the configuration key `renewal.ari`.

    `OFF`: not at all; the CA is not queried. `INCIDENT`: if the CA asks for an early renewal (`asked_early`). `FOLLOW`:
    always, but a renewal is never made later because of it.
    """

    OFF = "off"
    INCIDENT = "incident"
    FOLLOW = "follow"


@dataclass(frozen=True, slots=True)
class RenewalRule:
    """When certificates are renewed: `before` their expiry, at most half their lifetime before it, or when the CA asks."""

    before: timedelta = timedelta(days=7)
    ari: Ari = Ari.INCIDENT

    def renew_at(self, certificate: Certificate) -> datetime:
        """Return the time from which `certificate` is renewed."""
        by_expiry = renewal_at(certificate.leaf, self.before)
        info = certificate.renewal_info
        if info is None or self.ari is Ari.OFF:
            return by_expiry
        if self.ari is Ari.INCIDENT and not asked_early(certificate.leaf, info):
            return by_expiry
        return min(info.renew_at, by_expiry)


@dataclass(frozen=True, slots=True)
class Alert:
    """A number of domains for which the CA newly asks for early renewal, for one reason.

    Their renewal windows lie between `start_at` and `end_at`. `explanation_url` is the CA's, or empty.
    """

    domains: int
    start_at: datetime
    end_at: datetime
    explanation_url: str


def asked_early(leaf: Leaf, info: RenewalInfo) -> bool:
    """Return whether the CA asks for the renewal of `leaf` before 60 % of its lifetime is over: an incident."""
    return info.renew_at < leaf.not_before + _EARLY * (leaf.not_after - leaf.not_before)


def renewal_at(leaf: Leaf, before: timedelta) -> datetime:
    """Return the time from which `leaf` is renewed without regard to the CA: `before` its expiry."""
    return leaf.not_after - renewal_margin(leaf.not_after - leaf.not_before, before)


def renewal_margin(lifetime: timedelta, before: timedelta) -> timedelta:
    """Return how long before its expiry a certificate is renewed: `before`, at most half its lifetime.

    The half matters for lifetimes of less than twice `before`. Without it every tick would renew a six-day certificate.
    """
    return min(before, lifetime / 2)
