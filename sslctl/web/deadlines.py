"""Until when somebody must act about a domain, so that what it serves does not expire."""

from __future__ import annotations

from datetime import datetime

from sslctl.rules.expiry import act_by
from sslctl.rules.model import Domain, DomainSummary
from sslctl.rules.reasons import REASONS, Code, Owner

# With these the certificate is renewed, or replaced when it is due.
_WITHOUT_DEADLINE = frozenset(
    (
        Code.ADDRESS_UNANSWERED,
        Code.TARGET_ADDRESS_UNANSWERED,
        Code.SUFFIX_UNKNOWN,
        Code.KEY_MISSING,
        Code.OTHER_CERTIFICATE,
        Code.OTHER_EXPIRED,
        Code.C4_LOST,
    )
)


def find_deadline(domain: Domain | DomainSummary, code: Code, now: datetime) -> datetime | None:
    """Return the deadline (`expiry.act_by`) for what `code` asks for. None if nothing valid is served or waiting is enough."""
    needs_nobody = code in _WITHOUT_DEADLINE or REASONS[code].owner is Owner.NOBODY
    return None if needs_nobody else act_by(domain, now)
