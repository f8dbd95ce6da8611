"""The status of a domain: a pure function of the stored facts and of `now`.

Status is not stored, it is derived here. The store has a copy of this rule in SQL, with which `list` filters and sorts;
tests compare the two over generated facts.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sslctl.rules.model import Domain, DomainSummary, Finding, Source, Verdict
from sslctl.rules.reasons import REASONS, Code, Status
from sslctl.rules.singapore import format_duration, format_sgt
from sslctl.rules.versions import Expiring, is_adopted, is_expired

_WELL = Verdict(Status.SUCCESS)


def derive_status(domain: Domain | DomainSummary, now: datetime) -> Verdict:
    """Return the status of `domain` at `now`, with its reason.

    If several statuses apply, the first one counts, in this order: Discard, Emergency, Expired, Failure, Pending, Success.
    """
    finding = domain.finding
    current = domain.in_service or domain.wanted
    if current is not None and is_expired(current, now) and not _outranks(domain, finding, now):
        return _expired(domain, current, finding)
    if finding is not None:
        return _troubled(finding)
    if domain.in_service is None and is_adopted(domain):
        return _troubled(Finding(Code.TEXT_MISSING, "", "", domain.created_at, None))
    if domain.in_service is None:
        return _troubled(queued_finding(domain.created_at))
    return _WELL


def _outranks(domain: Domain | DomainSummary, finding: Finding | None, now: datetime) -> bool:
    """Return whether `finding` outranks Expired.

    An Emergency does as long as the certificate that C4 did not take is not expired.
    """
    if finding is None or finding.reason.status.rank > Status.EXPIRED.rank:
        return False
    is_over = domain.wanted is None or is_expired(domain.wanted, now)
    return finding.reason.status is Status.DISCARD or not is_over


def _expired(domain: Domain | DomainSummary, certificate: Expiring, finding: Finding | None) -> Verdict:
    reason = REASONS[Code.CERT_EXPIRED]
    sentence = reason.explain(format_sgt(certificate.not_after), "")
    owner, next_step, retry_at = reason.owner, _after_expiry(domain), None
    if finding is not None:
        owner, next_step, retry_at = finding.reason.owner, finding.reason.next_step, finding.retry_at
        sentence += " " + finding.reason.explain(finding.found, finding.wanted)
    records = () if finding is None else finding.records
    return Verdict(
        Status.EXPIRED,
        Code.CERT_EXPIRED,
        sentence,
        owner,
        next_step,
        retry_at,
        finding,
        _link(finding),
        records,
    )


def _after_expiry(domain: Domain | DomainSummary) -> str:
    """Return the next step for an expired certificate of `domain`."""
    if domain.source is Source.C4:
        return f"The next tick renews it; `sslctl recheck {domain.name}` does so at once."
    name = domain.name
    return (
        f"sslctl never renews a text certificate: `sslctl add {name}` replaces it by one from the CA,"
        f" `sslctl add {name} --cert … --key …` by a new pair."
    )


def _troubled(finding: Finding) -> Verdict:
    reason = finding.reason
    return Verdict(
        reason.status,
        finding.code,
        reason.explain(finding.found, finding.wanted),
        reason.owner,
        reason.next_step,
        finding.retry_at,
        link=_link(finding),
        records=finding.records,
    )


def _link(finding: Finding | None) -> str:
    """Return the URL of the CA that a person must open, empty if there is none."""
    return finding.wanted if finding is not None and finding.code is Code.CA_PAUSED else ""


def queued_finding(at: datetime) -> Finding:
    """Return the finding of a domain that was recorded at `at` and not attempted yet. It is due at once."""
    return Finding(Code.QUEUED, "", "", at, at)


def describe_serving(domain: Domain | DomainSummary, now: datetime) -> str:
    """Return in words what C4 served when last checked: `valid, 9 days left`, `expired 2 days ago` or `nothing`."""
    if domain.in_service is None:
        return "nothing"
    left = domain.in_service.not_after - now
    if left > timedelta(0):
        return f"valid, {format_duration(left)} left"
    return f"expired {format_duration(-left)} ago"
