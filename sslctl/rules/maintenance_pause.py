"""A maintenance pause: until a time that an operator sets, nothing is ordered, and nothing is changed on C4."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sslctl.rules.model import Domain, MaintenancePause, Source
from sslctl.rules.reasons import Owner, Status
from sslctl.rules.singapore import format_both
from sslctl.rules.versions import is_expired

LONGEST = timedelta(days=30)
"""No pause is longer: a year that was mistyped must not stop all renewals."""

RENEWAL_TIME = timedelta(days=1)
"""What a renewal needs after the end of a pause: even ticks once a day, the first of which fails, are in time."""

# A clock that was set back a little does not end a pause.
_CLOCK_TOLERANCE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Endangered:
    """A domain whose certificate in service expires at `expires_at`, before a successor could be installed."""

    name: str
    expires_at: datetime


def is_in_force(pause: MaintenancePause, now: datetime) -> bool:
    """Return whether `pause` lasts at `now`. One that begins more than a day later was set while the clock was ahead."""
    return pause.at - _CLOCK_TOLERANCE <= now < pause.until


def describe(pause: MaintenancePause) -> str:
    """Return until when `pause` lasts, and why, in words."""
    return f"until {format_both(pause.until)}, because: {pause.reason}"


def find_endangered(domains: Iterable[Domain], now: datetime, until: datetime) -> list[Endangered]:
    """Return which of `domains` a pause from `now` until `until` would let expire, the soonest expiry first.

    Their certificates in service expire before the end of the pause and `RENEWAL_TIME`. Left out are text certificates that
    sslctl does not renew, what has expired already, and domains that the customer or C4 keeps from being renewed anyway.
    """
    found = [
        Endangered(domain.name, domain.in_service.not_after)
        for domain in domains
        if domain.in_service is not None
        and domain.source is Source.C4
        and not is_expired(domain.in_service, now)
        and domain.in_service.not_after < until + RENEWAL_TIME
        and not _is_stopped_anyway(domain)
    ]
    return sorted(found, key=lambda each: (each.expires_at, each.name))


def _is_stopped_anyway(domain: Domain) -> bool:
    """Return whether a renewal of `domain` has failed for a reason that only the customer, or a deletion here, ends."""
    finding = domain.finding
    if finding is None:
        return False
    is_of_customer = finding.reason.status is Status.FAILURE and finding.reason.owner is Owner.CUSTOMER
    return is_of_customer or finding.reason.status is Status.DISCARD
