"""Which certificates expire without a successor, and how soon: people hear of them in time.

A person is notified by the time that is left of what is served, not by the status: a domain may be in Success while every
attempt to renew it fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sslctl.rules.model import Certificate, Domain, DomainSummary, Installed, Source
from sslctl.rules.reasons import FINDINGS, REASONS, Code, Owner
from sslctl.rules.renewal import RenewalRule, renewal_margin
from sslctl.rules.singapore import format_duration, next_midnight
from sslctl.rules.versions import is_expired

LATE_SHARE = 3 / 7
"""The share of the renewal margin before an expiry from which on a renewal is late (`is_renewal_late`)."""

# Shares of the renewal margin: with 7 days before the expiry these are 7, 3 and 1 days.
_SHARES = (1.0, LATE_SHARE, 1 / 7)
# A text certificate is not renewed, so a person needs longer to get a new one.
_TEXT = (timedelta(days=30), timedelta(days=7), timedelta(days=1))
# A check takes time, and then the CA and the upload do.
_MARGIN = timedelta(hours=1)
LONGEST = _TEXT[0]
"""No certificate is reported earlier than so long before its expiry, unless the renewal margin is longer."""


@dataclass(frozen=True, slots=True)
class Expiring:
    """A certificate in service that expires without a successor.

    `threshold` is the smallest one that `left`, the time until the expiry, has reached. `code` is what prevents the renewal.
    """

    name: str
    left: timedelta
    threshold: timedelta
    code: Code
    owner: Owner
    sentence: str
    next_step: str


def last_check_before(expiry: datetime) -> datetime:
    """Return the last midnight in Singapore at which a check is in time for `expiry`: a change after it comes too late."""
    return next_midnight(expiry - _MARGIN) - timedelta(days=1)


def act_by(domain: Domain | DomainSummary, now: datetime) -> datetime | None:
    """Return the latest time at which a change still helps before what `domain` serves expires.

    That is the last check in time, or the expiry of a text certificate, which sslctl does not renew. It may be over. None if nothing
    valid is served at `now`.
    """
    current = domain.in_service
    if domain.deleted_at is not None or current is None or is_expired(current, now):
        return None
    return current.not_after if domain.source is Source.TEXT else last_check_before(current.not_after)


def find_expiring(domain: Domain, now: datetime, rule: RenewalRule) -> Expiring | None:
    """Return that the certificate in service of `domain` expires soon, None if nobody needs to hear of it at `now`.

    One that sslctl renews is reported once an attempt has failed, or if none was made when the second threshold is reached.
    """
    current = domain.in_service
    if domain.deleted_at is not None or current is None or is_expired(current, now):
        return None
    left = current.not_after - now
    is_text = current.source is Source.TEXT
    thresholds = _thresholds(current, rule)
    threshold = min((each for each in thresholds if left <= each), default=None)
    if threshold is None:
        return None
    code, found, wanted = _find_cause(domain, left, is_text=is_text)
    if code is Code.QUEUED and threshold == thresholds[0]:
        return None
    reason = REASONS[code]
    # What only waits must not wait until the certificate has expired.
    owner = Owner.OPERATOR if reason.owner is Owner.NOBODY else reason.owner
    sentence = reason.explain(found, wanted)
    return Expiring(domain.name, left, threshold, code, owner, sentence, reason.next_step)


def is_renewal_late(domain: Domain, now: datetime, rule: RenewalRule) -> bool:
    """Return whether the certificate in service of `domain` has reached the second threshold: it should have a successor by now."""
    current = domain.in_service
    if domain.deleted_at is not None or current is None:
        return False
    return current.not_after - now <= _thresholds(current, rule)[1]


def late_within(rule: RenewalRule) -> timedelta:
    """Return the longest time before an expiry at which a renewal can be late (`is_renewal_late`)."""
    return max(_TEXT[1], _shares_of(rule.before)[1])


def _thresholds(current: Certificate | Installed, rule: RenewalRule) -> tuple[timedelta, ...]:
    return _TEXT if current.source is Source.TEXT else _shares_of(_margin(current, rule))


def _margin(current: object, rule: RenewalRule) -> timedelta:
    """Return how long before its expiry the certificate is renewed; the lifetime of a foreign one is not known."""
    if not isinstance(current, Certificate):
        return rule.before
    return renewal_margin(current.leaf.not_after - current.leaf.not_before, rule.before)


def _shares_of(margin: timedelta) -> tuple[timedelta, ...]:
    return tuple(share * margin for share in _SHARES)


def _find_cause(domain: Domain, left: timedelta, *, is_text: bool) -> tuple[Code, str, str]:
    """Return the code of what prevents the renewal, with what was found and wanted; `QUEUED` if no attempt was made."""
    if domain.unconfirmed is not None:
        return domain.unconfirmed.code, domain.unconfirmed.found, ""
    for cause in (domain.finding, domain.suspicion, domain.caution):
        if cause is not None and cause.code in FINDINGS:
            return cause.code, cause.found, cause.wanted
    return (Code.TEXT_EXPIRES, f"{format_duration(left)} left", "") if is_text else (Code.QUEUED, "", "")
