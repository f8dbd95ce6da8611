"""Whether it helps to wait for a domain, and until when: pure functions of the stored facts and of `now`."""

from __future__ import annotations

from datetime import datetime

from sslctl.rules.model import Domain
from sslctl.rules.reasons import Code
from sslctl.rules.schedule import is_retry_due
from sslctl.rules.status import derive_status

ENDS_BY_ITSELF = frozenset(
    {
        Code.QUEUED,
        Code.CA_VALIDATING,
        Code.CA_RATE_LIMITED,
        Code.CA_UNAVAILABLE,
        Code.BUDGET_HELD,
        Code.MAINTENANCE,
        Code.DNS_UNANSWERED,
        Code.TARGET_UNANSWERED,
        # A change of DNS takes time to reach every resolver.
        Code.RESOLVERS_DISAGREE,
        Code.C4_UNANSWERED,
        Code.C4_ACTIVATING,
        Code.C4_CHANGED,
        Code.C4_UPLOAD_FAILED,
        Code.C4_MISMATCH,
        Code.NOTHING_INSTALLED,
    }
)
"""The reasons that may end without a person: the next pass may succeed, although nobody did anything. All others need a person."""


def next_pass_at(domain: Domain, now: datetime) -> datetime | None:
    """Return when the next pass over `domain` may improve it; None if it is in Success, or if a person must act first.

    As for the tick, the retry of a step that did not answer counts, not the finding's. A retry that is due is due at `now`.
    """
    unconfirmed = domain.unconfirmed
    if unconfirmed is not None:
        code, retry_at = unconfirmed.code, unconfirmed.retry_at
    else:
        verdict = derive_status(domain, now)
        if verdict.code is None or verdict.retry_at is None:
            return None
        code, retry_at = verdict.also.code if verdict.also else verdict.code, verdict.retry_at
    if code not in ENDS_BY_ITSELF:
        return None
    return now if is_retry_due(domain, now) else retry_at
