"""The rules of status and time: pure functions of what is stored and of `now`.

Facts are stored, status is derived here and nowhere else; the store's SQL copy of `verdict`, which `list` filters
and sorts with, is tested against it over generated facts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum

from sslctl.model import Certificate, Domain, Finding, Leaf, Source, Verdict
from sslctl.reasons import REASONS, Code, Owner, Status

# Singapore has had no daylight saving time since 1936 and UTC+8 since 1982, so a fixed offset is exact.
SGT = timezone(timedelta(hours=8), "SGT")

RETRY_SOONEST = timedelta(minutes=1)
RETRY_LATEST = timedelta(days=7)
_RETRY_PENDING = timedelta(hours=1)


class Work(StrEnum):
    """What the tick would do for a domain."""

    UPLOAD = "upload"
    ISSUE = "issue"
    RENEW = "renew"
    RECHECK = "recheck"


@dataclass(frozen=True, slots=True)
class Due:
    """Work that is due, with the reason in words."""

    work: Work
    why: str


def verdict(domain: Domain, now: datetime) -> Verdict:
    """Derive the status of `domain` at `now` with its reason.

    When several statuses hold, the first in the order Discard, Emergency, Expired, Failure, Pending, Success counts.
    """
    finding = domain.finding
    current = domain.serving or domain.wanted
    if current is not None and is_expired(current.leaf, now) and not _outranks(domain, finding, now):
        return _expired(current.leaf, finding)
    if finding is not None:
        return _troubled(finding)
    if domain.serving is None:
        return _troubled(queued(domain.created_at))
    return Verdict(Status.SUCCESS)


def _outranks(domain: Domain, finding: Finding | None, now: datetime) -> bool:
    """Say whether `finding` counts before Expired: an Emergency does while what C4 did not take can still be used."""
    if finding is None or finding.reason.status.rank > Status.EXPIRED.rank:
        return False
    is_over = domain.wanted is None or is_expired(domain.wanted.leaf, now)
    return finding.reason.status is Status.DISCARD or not is_over


def _expired(leaf: Leaf, finding: Finding | None) -> Verdict:
    reason = REASONS[Code.CERT_EXPIRED]
    sentence = reason.explain(moment(leaf.not_after), "")
    owner, next_step, retry_at = reason.owner, reason.next_step, None
    if finding is not None:
        owner, next_step, retry_at = finding.reason.owner, finding.reason.next_step, finding.retry_at
        sentence += " " + finding.reason.explain(finding.found, finding.wanted)
    return Verdict(Status.EXPIRED, Code.CERT_EXPIRED, sentence, owner, next_step, retry_at, finding)


def _troubled(finding: Finding) -> Verdict:
    reason = finding.reason
    return Verdict(
        reason.status,
        finding.code,
        reason.explain(finding.found, finding.wanted),
        reason.owner,
        reason.next_step,
        finding.retry_at,
    )


def queued(at: datetime) -> Finding:
    """Give the finding of a domain that was recorded at `at` and not tried yet: due at once."""
    return Finding(Code.QUEUED, "", "", at, at)


def is_expired(leaf: Leaf, now: datetime) -> bool:
    """Say whether `leaf` has passed its expiry date: `not_after <= now`."""
    return leaf.not_after <= now


def renewal_at(leaf: Leaf, before: timedelta) -> datetime:
    """Give the time from which `leaf` is renewed: `before` its expiry, at most half of its lifetime.

    The half matters for lifetimes under twice `before`: a six-day certificate would else be renewed at every tick.
    """
    return leaf.not_after - min(before, (leaf.not_after - leaf.not_before) / 2)


def due(domain: Domain, now: datetime, before: timedelta) -> Due | None:
    """Say what the tick owes `domain` at `now`, None when it can be left alone.

    A finding is left alone until its `retry_at`. An upload that is owed is finished whatever its source is; beyond
    that, certificates of source text are never rechecked or renewed. Discard waits for a person.
    """
    finding = domain.finding
    if domain.deleted_at is not None or (finding is not None and not _retries(finding, now)):
        return None
    if owes_upload(domain, now):
        return Due(Work.UPLOAD, "its certificate is issued and not yet confirmed on C4")
    if domain.source is Source.TEXT:
        return None
    if domain.serving is not None and renewal_at(domain.serving.leaf, before) <= now:
        tense = "expired" if is_expired(domain.serving.leaf, now) else "expires"
        return Due(Work.RENEW, f"its certificate {tense} {moment(domain.serving.leaf.not_after)}")
    if domain.serving is not None and domain.serving.revoked_at is not None:
        return Due(Work.RENEW, "its certificate is revoked")
    if finding is not None and finding.code is not Code.QUEUED:
        return Due(Work.RECHECK, f"it is in {finding.reason.status} ({finding.code})")
    if finding is not None or domain.serving is None:
        return Due(Work.ISSUE, "it is recorded and has not been tried")
    return None


def _retries(finding: Finding, now: datetime) -> bool:
    return finding.retry_at is not None and finding.retry_at <= now


def owes_upload(domain: Domain, now: datetime) -> bool:
    """Say whether a usable certificate is held that C4 has not been seen to serve."""
    wanted = domain.wanted
    if wanted is None or (domain.serving is not None and domain.serving.id == wanted.id):
        return False
    return usable(wanted, domain.names, now) and wanted.source is domain.source


def usable(certificate: Certificate, names: Iterable[str], now: datetime) -> bool:
    """Say whether `certificate` may go on the edge for exactly these names: not expired, not revoked.

    A text certificate may carry more names than were asked for; one of the CA's carries what was ordered.
    """
    if certificate.revoked_at is not None or is_expired(certificate.leaf, now):
        return False
    return certificate.source is Source.TEXT or set(certificate.leaf.names) == set(names)


def reusable(certificates: Iterable[Certificate], names: Iterable[str], now: datetime) -> Certificate | None:
    """Pick the version to put back when a deleted domain is added again: the usable `c4` one that lasts longest."""
    wanted = set(names)
    fitting = [c for c in certificates if c.source is Source.C4 and usable(c, wanted, now)]
    return max(fitting, key=lambda c: c.leaf.not_after, default=None)


# What the daily recheck covers, in domains of source c4.
RECHECKED = (Status.FAILURE, Status.PENDING, Status.EXPIRED)


def retry_at(code: Code, now: datetime, wish: datetime | None = None) -> datetime | None:
    """Give when the tick takes a domain up again after finding `code`.

    `wish` is what the CA or C4 asked for (`Retry-After`); it is honoured from a minute on, the CA's up to a week,
    C4's up to the next midnight in Singapore. Without one, Failure waits for that midnight, Pending for an hour
    but never past it, Emergency for the next tick. Discard waits for a person: None.
    """
    status = REASONS[code].status
    if status is Status.DISCARD:
        return None
    if wish is not None:
        # An order against the CA's word would be refused, and cost the account its standing; C4 loses nothing.
        latest = now + RETRY_LATEST if REASONS[code].owner is Owner.CA else next_midnight(now)
        return min(max(wish, now + RETRY_SOONEST), latest)
    if status is Status.FAILURE:
        return next_midnight(now)
    if status is Status.PENDING:
        return min(now + _RETRY_PENDING, next_midnight(now))
    return now


def next_midnight(now: datetime) -> datetime:
    """Give the first 00:00 in Singapore after `now`, in UTC."""
    day = now.astimezone(SGT).date() + timedelta(days=1)
    return datetime(day.year, day.month, day.day, tzinfo=SGT).astimezone(UTC)


def days_left(leaf: Leaf, now: datetime) -> int:
    """Give the whole days until expiry, rounded down; once expired the days since, at least one, as a negative number."""
    if is_expired(leaf, now):
        return -max(1, (now - leaf.not_after) // timedelta(days=1))
    return (leaf.not_after - now) // timedelta(days=1)


def served(domain: Domain, now: datetime) -> str:
    """Say in words what C4 was last seen to serve: `valid, 9 days left`, `expired 2 days ago` or `nothing`."""
    if domain.serving is None:
        return "nothing"
    left = domain.serving.leaf.not_after - now
    if left > timedelta(0):
        return f"valid, {span(left)} left"
    return f"expired {span(-left)} ago"


def fate(certificate: Certificate, domain: Domain, now: datetime) -> str:
    """Say in one word what became of a certificate version."""
    if certificate.revoked_at is not None:
        return "revoked"
    if domain.serving is not None and domain.serving.id == certificate.id:
        return "expired" if is_expired(certificate.leaf, now) else "serving"
    if domain.wanted is not None and domain.wanted.id == certificate.id:
        return "uploading" if certificate.uploaded_at is None else "activating"
    return (
        "expired"
        if is_expired(certificate.leaf, now)
        else "replaced"
        if certificate.verified_at
        else "unused"
    )


def span(length: timedelta) -> str:
    """Give a length of time in its largest fitting unit, rounded down: `9 days`, `1 hour`, `40 seconds`."""
    seconds = int(length.total_seconds())
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size:
            return _count(seconds // size, unit)
    return _count(seconds, "second")


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def moment(at: datetime) -> str:
    """Give a time for people: in Singapore time, to the minute."""
    return at.astimezone(SGT).strftime("%Y-%m-%d %H:%M SGT")
