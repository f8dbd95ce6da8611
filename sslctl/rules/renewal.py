"""When a certificate is renewed: some time before its expiry, or when the CA asks for it (ARI, RFC 9773)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sslctl.rules.model import Certificate, Leaf, RenewalInfo

# Of a certificate's lifetime: where the CA asks for its renewal before that much is over, something is wrong with it.
_EARLY = 0.6


class Ari(StrEnum):
    """How far the CA's own word counts; the configuration's `renewal.ari`.

    `OFF`: not at all, and the CA is not asked. `INCIDENT`: where it asks for a renewal early (`asked_early`).
    `FOLLOW`: always, though it makes no renewal later.
    """

    OFF = "off"
    INCIDENT = "incident"
    FOLLOW = "follow"


@dataclass(frozen=True, slots=True)
class RenewalRule:
    """When certificates are renewed: `before` their expiry, at most half of their lifetime, or when the CA asks."""

    before: timedelta = timedelta(days=7)
    ari: Ari = Ari.INCIDENT

    def renew_at(self, certificate: Certificate) -> datetime:
        """Give the time from which `certificate` is renewed."""
        by_expiry = renewal_at(certificate.leaf, self.before)
        info = certificate.renewal_info
        if info is None or self.ari is Ari.OFF:
            return by_expiry
        if self.ari is Ari.INCIDENT and not asked_early(certificate.leaf, info):
            return by_expiry
        return min(info.renew_at, by_expiry)


@dataclass(frozen=True, slots=True)
class Alert:
    """How many domains the CA newly wants to have early renewals, for one reason.

    Their windows lie between `start_at` and `end_at`. `explanation_url` is the CA's, empty where it gave none.
    """

    domains: int
    start_at: datetime
    end_at: datetime
    explanation_url: str


def asked_early(leaf: Leaf, info: RenewalInfo) -> bool:
    """Say whether the CA asks for the renewal of `leaf` before 60 % of its lifetime is over: an incident."""
    return info.renew_at < leaf.not_before + _EARLY * (leaf.not_after - leaf.not_before)


def renewal_at(leaf: Leaf, before: timedelta) -> datetime:
    """Give the time from which `leaf` is renewed whatever the CA says, `before` its expiry."""
    return leaf.not_after - renewal_margin(leaf.not_after - leaf.not_before, before)


def renewal_margin(lifetime: timedelta, before: timedelta) -> timedelta:
    """Give how long before its expiry a certificate is renewed: `before`, at most half of its lifetime.

    The half matters for lifetimes under twice `before`: a six-day certificate would else be renewed at every tick.
    """
    return min(before, lifetime / 2)
