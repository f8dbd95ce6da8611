"""Only upwards: what gets worse on the edge if one certificate replaces another. A pure function."""

from __future__ import annotations

from datetime import datetime

from sslctl.rules.singapore import format_sgt
from sslctl.rules.versions import Expiring, is_expired

TRUST_LOST = "browsers trust the certificate in service, and not the new one"


def find_loss(
    new: Expiring, old: Expiring, now: datetime, *, may_end_sooner: bool, is_trust_lost: bool
) -> str:
    """Return what gets worse if `new` replaces `old`, in words; empty if nothing does.

    A certificate that has expired is no loss. `may_end_sooner` is whether `old` is due for renewal, revoked or part of an
    incident: then `new` may expire sooner, but needs at least half the time that `old` has left. `is_trust_lost` is whether
    browsers trust `old` and not `new`.
    """
    if is_expired(old, now):
        return ""
    losses = []
    if is_trust_lost:
        losses.append(TRUST_LOST)
    if new.not_after < old.not_after and not may_end_sooner:
        losses.append(f"it expires {_compared(new, old)}, and that one is not due for renewal")
    elif new.not_after - now < (old.not_after - now) / 2:
        losses.append(f"it expires {_compared(new, old)}: it has less than half the time left")
    return "; ".join(losses)


def _compared(new: Expiring, old: Expiring) -> str:
    return f"{format_sgt(new.not_after)}, the one in service {format_sgt(old.not_after)}"
