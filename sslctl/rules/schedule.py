"""When the tick works on a domain, and what it does: pure functions of the stored facts and of `now`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sslctl.rules.model import Certificate, Domain, Finding, Installed, Source
from sslctl.rules.onboarding import LOOKED_AT
from sslctl.rules.reasons import REASONS, Code, Owner, Status
from sslctl.rules.renewal import Renewal, RenewalRule, Trigger, renewal_at
from sslctl.rules.singapore import format_sgt, next_midnight
from sslctl.rules.versions import is_expired, is_replacement_due, is_usable, may_replace, needs_upload
from sslctl.wording import C4

RETRY_SOONEST = timedelta(minutes=1)
RETRY_LATEST = timedelta(days=7)
# A problem that may end by itself is retried after these, then once a day.
_BACKOFF = (timedelta(minutes=1), timedelta(minutes=10), timedelta(minutes=100))
# An upload that fails is repeated by each tick so many times, which is an hour of ticks every 5 minutes. Then hourly is enough
# while a valid certificate is served: C4 may have been refusing those of a whole fleet for hours. A little less than an hour,
# because ticks do not come to a domain at the same second.
_DENSE_UPLOADS = 12
_UPLOAD_EVERY = timedelta(minutes=55)
# A certificate that expires so soon is not relied on.
_ENOUGH_LEFT = timedelta(days=1)
_OF_CA = (Code.CA_REFUSED, Code.CA_VALIDATING, Code.ISSUER_FAILED)
# An edge that was not synchronised yet may be a minute later.
_OF_CHALLENGE = (Code.CHALLENGE_FAILED, Code.CHALLENGE_UNREACHABLE)
_UNTRIED = (Code.QUEUED, Code.BUDGET_HELD, Code.MAINTENANCE)


class Work(StrEnum):
    """What the tick does for a domain. `REPLACE` is an early renewal that the CA asks for (`RenewalRule.is_incident`)."""

    UPLOAD = "upload"
    REPLACE = "replace"
    ISSUE = "issue"
    RENEW = "renew"
    RECHECK = "recheck"


@dataclass(frozen=True, slots=True)
class DueWork:
    """Work that is due, with the reason in words: `why`."""

    work: Work
    why: str


def find_due_work(domain: Domain, now: datetime, rule: RenewalRule) -> DueWork | None:
    """Return the work that is due for `domain` at `now`, or None. Renewals follow `rule`.

    A domain with a finding waits until `retry_at`, unless that is later than any retry is ever scheduled. A missing
    upload is done for every source; apart from that, certificates of source text are never rechecked or renewed. A domain
    in Discard waits for a person.
    """
    if domain.deleted_at is not None or not is_retry_due(domain, now):
        return None
    if needs_upload(domain, now):
        return DueWork(Work.UPLOAD, f"its certificate is issued, and {C4} has not confirmed it")
    if domain.source is Source.C4:
        work = _find_work(domain, now, rule)
        if work is not None:
            return work
    if domain.unconfirmed is not None:
        return DueWork(Work.RECHECK, f"it could not be confirmed ({domain.unconfirmed.code})")
    return None


def _find_work(domain: Domain, now: datetime, rule: RenewalRule) -> DueWork | None:
    """Return the work that is due for a domain of source c4 that misses no upload and waits for no retry."""
    finding, serving = domain.finding, domain.serving
    if domain.foreign is not None:
        work = _find_work_on_foreign(domain, domain.foreign, now, rule)
        if work is not None:
            return work
    if serving is not None and rule.renew_at(serving) <= now:
        return _renewal(serving, now, rule)
    if serving is not None and serving.revoked_at is not None:
        return DueWork(Work.RENEW, "its certificate is revoked")
    if finding is not None and finding.code is Code.BUDGET_HELD and serving is None:
        return DueWork(Work.ISSUE, "the CA's limits allow its order now")
    if finding is not None and finding.code is Code.MAINTENANCE and serving is None:
        return DueWork(Work.ISSUE, "it waits for the end of the maintenance pause")
    if finding is not None and finding.code is not Code.QUEUED:
        return DueWork(Work.RECHECK, f"it is in {finding.reason.status} ({finding.code})")
    if finding is not None or domain.in_service is None:
        return DueWork(Work.ISSUE, "it is recorded, and no attempt was made yet")
    return None


def is_order_due(domain: Domain, now: datetime, rule: RenewalRule) -> bool:
    """Return whether `domain` needs a new certificate from the CA at `now`. A usable one that waits for its upload counts."""
    if domain.source is not Source.C4:
        return False
    if domain.foreign is not None:
        return is_replacement_due(domain, now, rule.before)
    serving = domain.serving
    return (
        serving is None
        or serving.source is not domain.source
        or not is_usable(serving, domain.names, now)
        or rule.renew_at(serving) <= now
    )


def is_first_order(domain: Domain, now: datetime) -> bool:
    """Return whether an order of `domain` is its first: none of ours was issued, and nothing valid is served at `now`."""
    current = domain.in_service
    is_served = current is not None and not is_expired(current, now)
    return domain.wanted is None and domain.serving is None and not is_served


def next_renewal(domain: Domain, now: datetime, rule: RenewalRule) -> Renewal | None:
    """Return when what C4 has for `domain` is due to be replaced by a new certificate, and by which rule.

    Return None if no renewal is planned: the source is text, nothing is served, an upload is missing, a person must act
    first, or a person agreed to replace the text certificate on C4 at once. Retries after a failed pass are not considered,
    nor is `renewal.max_per_day`.
    """
    is_stopped = domain.finding is not None and domain.finding.retry_at is None
    if (
        domain.deleted_at is not None
        or domain.source is not Source.C4
        or is_stopped
        or needs_upload(domain, now)
    ):
        return None
    foreign, serving = domain.foreign, domain.serving
    if foreign is not None and foreign.source is Source.C4:
        return Renewal(foreign.not_after - rule.before, Trigger.EXPIRY)
    if foreign is not None:
        return None if domain.text_consent else Renewal(foreign.not_after, Trigger.FOREIGN_EXPIRY)
    if serving is None:
        return None
    if serving.revoked_at is not None:
        return Renewal(serving.revoked_at, Trigger.REVOKED)
    return rule.renewal_of(serving)


def _find_work_on_foreign(
    domain: Domain, foreign: Installed, now: datetime, rule: RenewalRule
) -> DueWork | None:
    """Return the work that is due for a domain for which C4 has `foreign` instead of our certificate."""
    if is_expired(foreign, now):
        return DueWork(Work.RENEW, f"{C4}'s other certificate expired {format_sgt(foreign.not_after)}")
    if may_replace(domain, now):
        return DueWork(Work.ISSUE, f"the text certificate on {C4} is to be replaced")
    if is_replacement_due(domain, now, rule.before):
        return DueWork(Work.RENEW, f"{C4}'s other certificate expires {format_sgt(foreign.not_after)}")
    return None


def _renewal(certificate: Certificate, now: datetime, rule: RenewalRule) -> DueWork:
    info = certificate.renewal_info
    if info is None or renewal_at(certificate.leaf, rule.before) <= now:
        tense = "expired" if is_expired(certificate, now) else "expires"
        return DueWork(Work.RENEW, f"its certificate {tense} {format_sgt(certificate.not_after)}")
    if rule.renewal_of(certificate).trigger is not Trigger.CA_INCIDENT:
        return DueWork(Work.RENEW, "the CA asks for its renewal now")
    see = f": {info.explanation_url}" if info.explanation_url else ""
    return DueWork(Work.REPLACE, f"the CA asks for its replacement early{see}")


def is_retry_due(domain: Domain, now: datetime) -> bool:
    """Return whether no retry is awaited. After a step that did not answer, its retry counts, not the finding's."""
    if domain.unconfirmed is not None:
        retry_at = domain.unconfirmed.retry_at
        return retry_at <= now or retry_at > now + RETRY_LATEST
    return domain.finding is None or _retries(domain.finding, now)


def _retries(finding: Finding, now: datetime) -> bool:
    if finding.retry_at is None:
        return False
    # Only the CA's limits postpone a retry for so long. Otherwise the clock was ahead when this was recorded.
    ran_ahead = finding.code is not Code.BUDGET_HELD and finding.retry_at > now + RETRY_LATEST
    return ran_ahead or finding.retry_at <= now


# The statuses that the daily recheck covers, for domains of source c4.
RECHECKED = (Status.FAILURE, Status.PENDING, Status.EXPIRED)


def retry_at(
    code: Code,
    now: datetime,
    retry_after: datetime | None = None,
    tries: int = 1,
    *,
    is_upload_urgent: bool = True,
) -> datetime | None:
    """Return when the tick retries a domain after a pass that ended with `code`, or None if a person must act first.

    `retry_after` is the time that the CA or C4 asked for. It is at least a minute away; at most a week for the CA
    (`budget.longest_wait` bounds it further), and at most the next midnight in Singapore for C4. For `BUDGET_HELD` it is
    the time at which the order may be placed, and is used unchanged.

    Without `retry_after`:
    - Pending, `CHALLENGE_FAILED` and `CHALLENGE_UNREACHABLE` may end by themselves. They are retried after 1, 10 and 100 minutes (`tries` is 1, 2
      and 3), but at the next midnight in Singapore at the latest, and from then on at every midnight.
    - Failure is retried at the next midnight, because a person must act first.
    - Emergency is retried at the next tick; from the 12th try on only after 55 minutes, unless `is_upload_urgent`.
    - `MAINTENANCE` and `UPLOAD_PAUSED` are retried at the next tick, because nothing was tried.
    - Discard is not retried: None.
    """
    status = REASONS[code].status
    if status is Status.DISCARD:
        return None
    if retry_after is not None and code is Code.BUDGET_HELD:
        return max(retry_after, now)
    if retry_after is not None:
        # An order before that time would be refused and harm the account's reputation with the CA. C4 has no such cost.
        is_of_ca = REASONS[code].owner is Owner.CA or code in _OF_CA
        latest = now + RETRY_LATEST if is_of_ca else next_midnight(now)
        return min(max(retry_after, now + RETRY_SOONEST), latest)
    if code is Code.MAINTENANCE:
        return now
    if status is Status.PENDING or code in _OF_CHALLENGE:
        waits = _BACKOFF[max(tries, 1) - 1 :]
        return min(now + waits[0], next_midnight(now)) if waits else next_midnight(now)
    if status is Status.FAILURE:
        return next_midnight(now)
    is_spaced = _is_failed_upload(code) and tries >= _DENSE_UPLOADS and not is_upload_urgent
    return now + _UPLOAD_EVERY if is_spaced else now


def is_upload_urgent(domain: Domain, now: datetime) -> bool:
    """Return whether each tick is to repeat the upload for `domain`: nothing valid is served, or not for a day from `now` on."""
    current, serving = domain.in_service, domain.serving
    is_revoked = domain.foreign is None and serving is not None and serving.revoked_at is not None
    return current is None or is_revoked or current.not_after - now < _ENOUGH_LEFT


def count_tries(before: Finding | None, code: Code) -> int:
    """Return how many passes in a row failed with a code that backs off, including this pass, which ended with `code`.

    `before` is the finding of the previous pass. `QUEUED`, `BUDGET_HELD` and `MAINTENANCE` keep the count, because nothing was
    attempted; any other code restarts it. Uploads that failed in a row are counted by themselves. A domain that points elsewhere
    keeps the count of its failed challenges: with DNS that alternates, each look would otherwise be followed by another order.
    """
    if before is not None and _is_failed_upload(before.code) and _is_failed_upload(code):
        return before.tries + 1
    if code in LOOKED_AT:
        return before.tries if before is not None and before.code in (*_OF_CHALLENGE, *LOOKED_AT) else 0
    held = (Code.BUDGET_HELD, Code.MAINTENANCE, *LOOKED_AT)
    known = before is not None and (_backs_off(before.code) or before.code in held)
    so_far = before.tries if before is not None and known else 0
    if code in _UNTRIED:
        return so_far
    return so_far + 1 if _backs_off(code) else 1


def _backs_off(code: Code) -> bool:
    is_pending = REASONS[code].status is Status.PENDING and code not in _UNTRIED
    return is_pending or code in _OF_CHALLENGE


def _is_failed_upload(code: Code) -> bool:
    return REASONS[code].status is Status.EMERGENCY and code is not Code.UPLOAD_PAUSED
