"""The rules of status and time: pure functions of what is stored and of `now`.

Facts are stored, status is derived here and nowhere else; the store's SQL copy of `verdict`, which `list` filters
and sorts with, is tested against it over generated facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Protocol

from sslctl.model import Certificate, Domain, DomainSummary, Finding, Source, Verdict
from sslctl.reasons import REASONS, Code, Owner, Status
from sslctl.renewal import RenewalRule, asked_early, renewal_at

# Singapore has had no daylight saving time since 1936 and UTC+8 since 1982, so a fixed offset is exact.
SGT = timezone(timedelta(hours=8), "SGT")

RETRY_SOONEST = timedelta(minutes=1)
RETRY_LATEST = timedelta(days=7)
# What may pass by itself is tried again after these, then once a day.
_BACKOFF = (timedelta(minutes=1), timedelta(minutes=10), timedelta(minutes=100))
_UNTRIED = (Code.QUEUED, Code.BUDGET_HELD)

_WELL = Verdict(Status.SUCCESS)


class Expiring(Protocol):
    """What has an expiry date: a leaf, or a certificate."""

    @property
    def not_after(self) -> datetime:
        """The last moment at which it is valid."""


class Work(StrEnum):
    """What the tick would do for a domain. `REPLACE` is a renewal that the CA asks for early (`renewal.asked_early`)."""

    UPLOAD = "upload"
    REPLACE = "replace"
    ISSUE = "issue"
    RENEW = "renew"
    RECHECK = "recheck"


@dataclass(frozen=True, slots=True)
class Due:
    """Work that is due, with the reason in words."""

    work: Work
    why: str


def verdict(domain: Domain | DomainSummary, now: datetime) -> Verdict:
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
        return _troubled(queued(domain.created_at))
    return _WELL


def _outranks(domain: Domain | DomainSummary, finding: Finding | None, now: datetime) -> bool:
    """Say whether `finding` counts before Expired: an Emergency does while what C4 did not take can still be used."""
    if finding is None or finding.reason.status.rank > Status.EXPIRED.rank:
        return False
    is_over = domain.wanted is None or is_expired(domain.wanted, now)
    return finding.reason.status is Status.DISCARD or not is_over


def _expired(certificate: Expiring, finding: Finding | None) -> Verdict:
    reason = REASONS[Code.CERT_EXPIRED]
    sentence = reason.explain(moment(certificate.not_after), "")
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


def is_expired(certificate: Expiring, now: datetime) -> bool:
    """Say whether `certificate` has passed its expiry date: `not_after <= now`."""
    return certificate.not_after <= now


def due(domain: Domain, now: datetime, rule: RenewalRule) -> Due | None:
    """Say what the tick owes `domain` at `now`, None when it can be left alone. Renewals go by `rule`.

    A finding is left alone until its `retry_at`, unless that is further off than any pass is put off. An upload that is
    owed is finished whatever its source is; beyond that, certificates of source text are never rechecked or renewed.
    Discard waits for a person.
    """
    finding = domain.finding
    if domain.deleted_at is not None or (finding is not None and not _retries(finding, now)):
        return None
    if owes_upload(domain, now):
        return Due(Work.UPLOAD, "its certificate is issued and not yet confirmed on C4")
    if domain.source is Source.TEXT:
        return None
    if domain.serving is not None and rule.renew_at(domain.serving) <= now:
        return _renewal(domain.serving, now, rule)
    if domain.serving is not None and domain.serving.revoked_at is not None:
        return Due(Work.RENEW, "its certificate is revoked")
    if finding is not None and finding.code is Code.BUDGET_HELD and domain.serving is None:
        return Due(Work.ISSUE, "it was held back, and its turn has come")
    if finding is not None and finding.code is not Code.QUEUED:
        return Due(Work.RECHECK, f"it is in {finding.reason.status} ({finding.code})")
    if finding is not None or domain.serving is None:
        return Due(Work.ISSUE, "it is recorded and has not been tried")
    return None


def _renewal(certificate: Certificate, now: datetime, rule: RenewalRule) -> Due:
    info = certificate.renewal_info
    if info is None or renewal_at(certificate.leaf, rule.before) <= now:
        tense = "expired" if is_expired(certificate, now) else "expires"
        return Due(Work.RENEW, f"its certificate {tense} {moment(certificate.not_after)}")
    if not asked_early(certificate.leaf, info):
        return Due(Work.RENEW, "the CA asks for its renewal now")
    see = f": {info.explanation_url}" if info.explanation_url else ""
    return Due(Work.REPLACE, f"the CA asks for its replacement early{see}")


def _retries(finding: Finding, now: datetime) -> bool:
    if finding.retry_at is None:
        return False
    # Nothing but the CA's limits puts a pass off for so long: the clock ran ahead when this was found.
    ran_ahead = finding.code is not Code.BUDGET_HELD and finding.retry_at > now + RETRY_LATEST
    return ran_ahead or finding.retry_at <= now


def owes_upload(domain: Domain, now: datetime) -> bool:
    """Say whether a usable certificate is held that C4 has not been seen to serve."""
    wanted = domain.wanted
    if wanted is None or (domain.serving is not None and domain.serving.id == wanted.id):
        return False
    return usable(wanted, domain.names, now) and wanted.source is domain.source


def usable(certificate: Certificate, names: Iterable[str], now: datetime) -> bool:
    """Say whether `certificate` may go on the edge for exactly these names: not expired, not revoked, its key here.

    A text certificate may carry more names than were asked for; one of the CA's carries what was ordered.
    """
    if certificate.revoked_at or certificate.key_destroyed_at or is_expired(certificate, now):
        return False
    return certificate.source is Source.TEXT or set(certificate.leaf.names) == set(names)


def reusable(certificates: Iterable[Certificate], names: Iterable[str], now: datetime) -> Certificate | None:
    """Pick the version to put back when a deleted domain is added again: the usable `c4` one that lasts longest."""
    wanted = set(names)
    fitting = [c for c in certificates if c.source is Source.C4 and usable(c, wanted, now)]
    return max(fitting, key=lambda c: c.not_after, default=None)


def superseded_at(
    certificate: Certificate, domain: Domain, versions: Sequence[Certificate], now: datetime
) -> datetime | None:
    """Give since when nobody needs the key of `certificate` any more; None while somebody does, or may.

    That is since it was replaced, revoked or expired, or was passed over: a newer one of the domain's `versions` was
    issued, or the domain deleted, before it was ever served. What is wanted or served is needed, and what would be put
    back: when a deleted domain is added again, or in the place of an upload that failed, where it is not yet replaced.
    """
    in_use = {one.id for one in (domain.wanted, domain.serving) if one is not None}
    if domain.deleted_at is not None:
        put_back = reusable(versions, domain.names, now)
        in_use |= {put_back.id} if put_back else set()
    if certificate.id in in_use:
        return None
    ends = [certificate.replaced_at, certificate.revoked_at]
    if is_expired(certificate, now):
        ends.append(certificate.not_after)
    if certificate.verified_at is None:
        ends += [domain.deleted_at, *(one.issued_at for one in versions if one.version > certificate.version)]
    return min((end for end in ends if end is not None), default=None)


# What the daily recheck covers, in domains of source c4.
RECHECKED = (Status.FAILURE, Status.PENDING, Status.EXPIRED)


def retry_at(code: Code, now: datetime, wish: datetime | None = None, tries: int = 1) -> datetime | None:
    """Give when the tick takes a domain up again after finding `code`.

    `wish` is what the CA or C4 asked for (`Retry-After`); it is honoured from a minute on, the CA's up to a week,
    C4's up to the next midnight in Singapore. For `BUDGET_HELD` it is kept as it is: by then the order may be placed.
    Without one, what may pass by itself (Pending, and a challenge that failed) is tried again after 1, 10 and 100
    minutes, `tries` being 1, 2 and 3, but never past that midnight, for which all later tries wait. Failure waits for
    it at once, since a person must act first; Emergency for the next tick. Discard waits for a person: None.
    """
    status = REASONS[code].status
    if status is Status.DISCARD:
        return None
    if wish is not None and code is Code.BUDGET_HELD:
        return max(wish, now)
    if wish is not None:
        # An order against the CA's word would be refused, and cost the account its standing; C4 loses nothing.
        latest = now + RETRY_LATEST if REASONS[code].owner is Owner.CA else next_midnight(now)
        return min(max(wish, now + RETRY_SOONEST), latest)
    if status is Status.PENDING or code is Code.CHALLENGE_FAILED:
        waits = _BACKOFF[max(tries, 1) - 1 :]
        return min(now + waits[0], next_midnight(now)) if waits else next_midnight(now)
    return next_midnight(now) if status is Status.FAILURE else now


def count_tries(before: Finding | None, code: Code) -> int:
    """Give how many passes in a row ended in trouble that backs off, with the one that finds `code` now.

    `before` is what the pass before found. Only while a domain waits untried, for its first pass or for the CA's limits,
    does the count stand still; an end of another kind begins it anew.
    """
    known = before is not None and (_backs_off(before.code) or before.code is Code.BUDGET_HELD)
    so_far = before.tries if before is not None and known else 0
    if code in _UNTRIED:
        return so_far
    return so_far + 1 if _backs_off(code) else 1


def _backs_off(code: Code) -> bool:
    is_pending = REASONS[code].status is Status.PENDING and code not in _UNTRIED
    return is_pending or code is Code.CHALLENGE_FAILED


def next_midnight(now: datetime) -> datetime:
    """Give the first 00:00 in Singapore after `now`, in UTC."""
    day = now.astimezone(SGT).date() + timedelta(days=1)
    return datetime(day.year, day.month, day.day, tzinfo=SGT).astimezone(UTC)


def days_left(certificate: Expiring, now: datetime) -> int:
    """Give the whole days until expiry, rounded down; once expired the days since, at least one, as a negative number."""
    if is_expired(certificate, now):
        return -max(1, (now - certificate.not_after).days)
    return (certificate.not_after - now).days


def served(domain: Domain | DomainSummary, now: datetime) -> str:
    """Say in words what C4 was last seen to serve: `valid, 9 days left`, `expired 2 days ago` or `nothing`."""
    if domain.serving is None:
        return "nothing"
    left = domain.serving.not_after - now
    if left > timedelta(0):
        return f"valid, {span(left)} left"
    return f"expired {span(-left)} ago"


def fate(certificate: Certificate, domain: Domain, now: datetime) -> str:
    """Say in one word what became of a certificate version."""
    if certificate.revoked_at is not None:
        return "revoked"
    if domain.serving is not None and domain.serving.id == certificate.id:
        return "expired" if is_expired(certificate, now) else "serving"
    if domain.wanted is not None and domain.wanted.id == certificate.id:
        return "uploading" if certificate.uploaded_at is None else "activating"
    return "expired" if is_expired(certificate, now) else "replaced" if certificate.verified_at else "unused"


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
