"""When a certificate is renewed: a set time before its expiry, or when the CA asks for it (ARI, RFC 9773)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sslctl.rules.model import Certificate, Leaf, RenewalInfo

# Shares of the lifetime. If the CA's window ends before this share is over, something is wrong with the certificate. Usual
# windows of Let's Encrypt are centred on two thirds of the lifetime, or on half of it if that is less than ten days, with 1 %
# on either side.
_EARLY, _EARLY_OF_SHORT = 0.6, 0.5
_SHORT = timedelta(days=10)
YOUNG = timedelta(days=1)
"""A certificate is not renewed because of the CA's window before it is this old: at most one such order a domain and day."""


class Ari(StrEnum):
    """How far sslctl follows the CA's renewal information; the configuration key `renewal.ari`.

    `OFF`: not at all; the CA is not queried. `INCIDENT`: if the CA asks for an early renewal (`RenewalRule.is_incident`).
    `FOLLOW`: always, but a renewal is never made later because of it.
    """

    OFF = "off"
    INCIDENT = "incident"
    FOLLOW = "follow"


class Trigger(StrEnum):
    """The rule that decides when a certificate is renewed.

    `EXPIRY`: `renewal.before_days` before the expiry. `HALF_LIFETIME`: at half of the lifetime, because that is shorter than
    twice `renewal.before_days`. `CA_WINDOW`: in the CA's window. `CA_INCIDENT`: in the CA's window, which is early. `REVOKED`:
    at once, because the certificate is revoked. `FOREIGN_EXPIRY`: when a text certificate expires that sslctl did not install.
    """

    EXPIRY = "expiry"
    HALF_LIFETIME = "half_lifetime"
    CA_WINDOW = "ca_window"
    CA_INCIDENT = "ca_incident"
    REVOKED = "revoked"
    FOREIGN_EXPIRY = "foreign_expiry"


@dataclass(frozen=True, slots=True)
class Renewal:
    """The time from which a certificate is renewed, and the rule that decided it."""

    at: datetime
    trigger: Trigger


@dataclass(frozen=True, slots=True)
class RenewalRule:
    """When certificates are renewed: `before` their expiry, at most half their lifetime before it, or when the CA asks."""

    before: timedelta = timedelta(days=7)
    ari: Ari = Ari.INCIDENT

    def renew_at(self, certificate: Certificate) -> datetime:
        """Return the time from which `certificate` is renewed."""
        return self.renewal_of(certificate).at

    def renewal_of(self, certificate: Certificate) -> Renewal:
        """Return when and why `certificate` is renewed; a revocation does not count.

        The CA's window never makes a renewal later. It makes none earlier than a day after the certificate was issued:
        whatever the CA suggests costs at most one order a domain and day.
        """
        leaf, info = certificate.leaf, certificate.renewal_info
        margin = renewal_margin(leaf.not_after - leaf.not_before, self.before)
        by_expiry = Renewal(
            leaf.not_after - margin, Trigger.EXPIRY if margin == self.before else Trigger.HALF_LIFETIME
        )
        if info is None or self.ari is Ari.OFF or not is_plausible(leaf, info.start_at, info.end_at):
            return by_expiry
        is_incident = self.is_incident(leaf, info)
        if self.ari is Ari.INCIDENT and not is_incident:
            return by_expiry
        at = max(info.renew_at, certificate.issued_at + YOUNG)
        if at >= by_expiry.at:
            return by_expiry
        return Renewal(at, Trigger.CA_INCIDENT if is_incident else Trigger.CA_WINDOW)

    def is_incident(self, leaf: Leaf, info: RenewalInfo) -> bool:
        """Return whether the CA asks for an early renewal of `leaf`: its window ends before any usual renewal.

        That is before our own renewal time, and before 60 % of the lifetime, or 50 % if that is less than ten days.
        """
        lifetime = leaf.not_after - leaf.not_before
        usual = leaf.not_before + lifetime * (_EARLY_OF_SHORT if lifetime < _SHORT else _EARLY)
        is_early = info.end_at < min(usual, renewal_at(leaf, self.before))
        return is_early and is_plausible(leaf, info.start_at, info.end_at)


@dataclass(frozen=True, slots=True)
class Alert:
    """A number of domains for which the CA newly asks for early renewal, for one reason.

    Their renewal windows lie between `start_at` and `end_at`. `explanation_url` is the CA's, or empty.
    """

    domains: int
    start_at: datetime
    end_at: datetime
    explanation_url: str


def is_plausible(leaf: Leaf, start_at: datetime, end_at: datetime) -> bool:
    """Return whether the window that the CA suggests for `leaf` begins before it ends, and overlaps the lifetime."""
    return start_at < end_at and leaf.not_before < end_at and start_at < leaf.not_after


def renewal_at(leaf: Leaf, before: timedelta) -> datetime:
    """Return the time from which `leaf` is renewed without regard to the CA: `before` its expiry."""
    return leaf.not_after - renewal_margin(leaf.not_after - leaf.not_before, before)


def renewal_margin(lifetime: timedelta, before: timedelta) -> timedelta:
    """Return how long before its expiry a certificate is renewed: `before`, at most half its lifetime.

    The half matters for lifetimes of less than twice `before`. Without it every tick would renew a six-day certificate.
    """
    return min(before, lifetime / 2)
