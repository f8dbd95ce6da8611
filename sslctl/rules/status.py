"""The rules of status and time: pure functions of what is stored and of `now`.

Facts are stored, status is derived here and nowhere else; the store's SQL copy of `verdict`, which `list` filters
and sorts with, is tested against it over generated facts.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sslctl.rules.model import Domain, DomainSummary, Finding, Verdict
from sslctl.rules.reasons import REASONS, Code, Status
from sslctl.rules.singapore import format_duration, format_sgt
from sslctl.rules.versions import Expiring, is_expired

_WELL = Verdict(Status.SUCCESS)


def derive_status(domain: Domain | DomainSummary, now: datetime) -> Verdict:
    """Derive the status of `domain` at `now` with its reason.

    When several statuses hold, the first in the order Discard, Emergency, Expired, Failure, Pending, Success counts.
    """
    finding = domain.finding
    current = domain.serving or domain.wanted
    if current is not None and is_expired(current, now) and not _outranks(domain, finding, now):
        return _expired(current, finding)
    if finding is not None:
        return _troubled(finding)
    if domain.serving is None:
        return _troubled(queued_finding(domain.created_at))
    return _WELL


def _outranks(domain: Domain | DomainSummary, finding: Finding | None, now: datetime) -> bool:
    """Say whether `finding` counts before Expired: an Emergency does while what C4 did not take can still be used."""
    if finding is None or finding.reason.status.rank > Status.EXPIRED.rank:
        return False
    is_over = domain.wanted is None or is_expired(domain.wanted, now)
    return finding.reason.status is Status.DISCARD or not is_over


def _expired(certificate: Expiring, finding: Finding | None) -> Verdict:
    reason = REASONS[Code.CERT_EXPIRED]
    sentence = reason.explain(format_sgt(certificate.not_after), "")
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


def queued_finding(at: datetime) -> Finding:
    """Give the finding of a domain that was recorded at `at` and not tried yet: due at once."""
    return Finding(Code.QUEUED, "", "", at, at)


def describe_serving(domain: Domain | DomainSummary, now: datetime) -> str:
    """Say in words what C4 was last seen to serve: `valid, 9 days left`, `expired 2 days ago` or `nothing`."""
    if domain.serving is None:
        return "nothing"
    left = domain.serving.not_after - now
    if left > timedelta(0):
        return f"valid, {format_duration(left)} left"
    return f"expired {format_duration(-left)} ago"
