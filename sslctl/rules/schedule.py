"""When the tick takes a domain up, and for what work: pure functions of stored facts and `now`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sslctl.rules.model import Certificate, Domain, Finding, Source
from sslctl.rules.reasons import REASONS, Code, Owner, Status
from sslctl.rules.renewal import RenewalRule, asked_early, renewal_at
from sslctl.rules.singapore import format_sgt, next_midnight
from sslctl.rules.versions import is_expired, needs_upload

RETRY_SOONEST = timedelta(minutes=1)
RETRY_LATEST = timedelta(days=7)
# What may pass by itself is tried again after these, then once a day.
_BACKOFF = (timedelta(minutes=1), timedelta(minutes=10), timedelta(minutes=100))
_UNTRIED = (Code.QUEUED, Code.BUDGET_HELD)


class Work(StrEnum):
    """What the tick would do for a domain. `REPLACE` is a renewal that the CA asks for early (`renewal.asked_early`)."""

    UPLOAD = "upload"
    REPLACE = "replace"
    ISSUE = "issue"
    RENEW = "renew"
    RECHECK = "recheck"


@dataclass(frozen=True, slots=True)
class DueWork:
    """Work that is due, with the reason in words."""

    work: Work
    why: str


def find_due_work(domain: Domain, now: datetime, rule: RenewalRule) -> DueWork | None:
    """Say what the tick owes `domain` at `now`, None when it can be left alone. Renewals go by `rule`.

    A finding is left alone until its `retry_at`, unless that is further off than any pass is put off. An upload that is
    owed is finished whatever its source is; beyond that, certificates of source text are never rechecked or renewed.
    Discard waits for a person.
    """
    finding = domain.finding
    if domain.deleted_at is not None or (finding is not None and not _retries(finding, now)):
        return None
    if needs_upload(domain, now):
        return DueWork(Work.UPLOAD, "its certificate is issued and not yet confirmed on C4")
    if domain.source is Source.TEXT:
        return None
    if domain.serving is not None and rule.renew_at(domain.serving) <= now:
        return _renewal(domain.serving, now, rule)
    if domain.serving is not None and domain.serving.revoked_at is not None:
        return DueWork(Work.RENEW, "its certificate is revoked")
    if finding is not None and finding.code is Code.BUDGET_HELD and domain.serving is None:
        return DueWork(Work.ISSUE, "it was held back, and its turn has come")
    if finding is not None and finding.code is not Code.QUEUED:
        return DueWork(Work.RECHECK, f"it is in {finding.reason.status} ({finding.code})")
    if finding is not None or domain.serving is None:
        return DueWork(Work.ISSUE, "it is recorded and has not been tried")
    return None


def _renewal(certificate: Certificate, now: datetime, rule: RenewalRule) -> DueWork:
    info = certificate.renewal_info
    if info is None or renewal_at(certificate.leaf, rule.before) <= now:
        tense = "expired" if is_expired(certificate, now) else "expires"
        return DueWork(Work.RENEW, f"its certificate {tense} {format_sgt(certificate.not_after)}")
    if not asked_early(certificate.leaf, info):
        return DueWork(Work.RENEW, "the CA asks for its renewal now")
    see = f": {info.explanation_url}" if info.explanation_url else ""
    return DueWork(Work.REPLACE, f"the CA asks for its replacement early{see}")


def _retries(finding: Finding, now: datetime) -> bool:
    if finding.retry_at is None:
        return False
    # Nothing but the CA's limits puts a pass off for so long: the clock ran ahead when this was found.
    ran_ahead = finding.code is not Code.BUDGET_HELD and finding.retry_at > now + RETRY_LATEST
    return ran_ahead or finding.retry_at <= now


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
