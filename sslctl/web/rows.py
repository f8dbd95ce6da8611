"""A domain in the list, as its row shows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sslctl.rules.model import DomainSummary
from sslctl.rules.onboarding import is_abandoned
from sslctl.rules.reasons import REASONS, Code, Owner, Status
from sslctl.rules.snoozing import snoozed_until
from sslctl.rules.status import derive_status
from sslctl.rules.warnings import find_warnings
from sslctl.web.cards import Kind
from sslctl.web.deadlines import find_deadline


@dataclass(frozen=True, slots=True)
class Row:
    """A domain with what the list shows of it.

    `reasons` are the codes of the status, the one that must be solved first at the end. In Success it is that of the first warning;
    `kind` is then `warning` or `suspected`, otherwise empty. `doubt` is the step that did not answer. `expires` is the expiry of
    what is served, or else of the newest certificate. `act_by` is the deadline, None also while the domain is snoozed or its
    warning is only suspected.
    """

    domain: DomainSummary
    status: Status
    reasons: tuple[Code, ...]
    kind: str
    owner: Owner | None
    doubt: Code | None
    expires: datetime | None
    act_by: datetime | None
    is_abandoned: bool
    snoozed_until: datetime | None


def make_row(domain: DomainSummary, now: datetime) -> Row:
    """Return the row of `domain` at `now`."""
    verdict, warning = derive_status(domain, now), next(iter(find_warnings(domain, now)), None)
    reasons: tuple[Code, ...] = ()
    owner, kind = verdict.owner, ""
    if verdict.code is not None:
        reasons = (verdict.code, verdict.also.code) if verdict.also else (verdict.code,)
    elif warning is not None:
        reasons, owner = (warning.code,), REASONS[warning.code].owner
        kind = Kind.WARNING if warning.is_certain else Kind.SUSPECTED
    snoozed = snoozed_until(domain, now)
    has_deadline = bool(reasons) and kind != Kind.SUSPECTED and snoozed is None
    current = domain.in_service or domain.wanted
    return Row(
        domain,
        verdict.status,
        reasons,
        kind,
        owner,
        domain.unconfirmed.code if domain.unconfirmed else None,
        current.not_after if current else None,
        find_deadline(domain, reasons[-1], now) if has_deadline else None,
        is_abandoned(domain, now),
        snoozed,
    )
