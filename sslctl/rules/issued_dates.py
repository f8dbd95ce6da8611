"""Whether an issued certificate is valid by our clock, and for how long an order is kept whose certificate is not.

Either our clock is wrong, or the CA dated the certificate wrongly. A new order helps only in the second case, so the order is
kept for a while, and given up before what is served expires.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sslctl.rules.model import Leaf, Order
from sslctl.rules.versions import Expiring, is_expired

# How far our clock may be behind the CA's. A valid certificate in service is not replaced by one that browsers refuse so long.
_MOST_SKEW, _MOST_SKEW_IN_SERVICE = timedelta(days=1), timedelta(minutes=10)
_PATIENCE, _LEAST_PATIENCE = timedelta(days=2), timedelta(days=1)


def is_dated_wrongly(leaf: Leaf, order: Order, in_service: Expiring | None, now: datetime) -> bool:
    """Return whether `leaf`, issued for `order`, is not valid yet at `now`, or had expired when the order was opened."""
    return leaf.not_after <= min(order.opened_at, now) or usable_from(leaf, in_service, now) > now


def usable_from(leaf: Leaf, in_service: Expiring | None, now: datetime) -> datetime:
    """Return from when `leaf` is taken for valid although our clock may be behind.

    If nothing valid is in service, that is a day before its beginning, otherwise ten minutes.
    """
    is_served = in_service is not None and not is_expired(in_service, now)
    return leaf.not_before - (_MOST_SKEW_IN_SERVICE if is_served else _MOST_SKEW)


def given_up_at(leaf: Leaf, order: Order, in_service: Expiring | None, now: datetime) -> datetime:
    """Return when `order` is given up, whose certificate `leaf` is dated wrongly; a new order may be placed then.

    - If the certificate becomes valid a day before what is served expires, the order is kept until then; if nothing valid was
      served when the order was opened, it is kept for at most four days.
    - Otherwise it is kept for two days, or for half of the time that the certificate in service had left when the order was
      opened, if that is shorter; but for at least a day, and not beyond its expiry.
    """
    patience, opened_at = _PATIENCE, order.opened_at
    end_at = opened_at + 2 * _PATIENCE
    if in_service is not None and opened_at < in_service.not_after:
        left = in_service.not_after - opened_at
        patience = min(_PATIENCE, max(left / 2, min(left, _LEAST_PATIENCE)))
        end_at = in_service.not_after - _LEAST_PATIENCE
    usable_at = usable_from(leaf, in_service, now)
    is_worth_waiting = now < leaf.not_after and usable_at < end_at
    return max(usable_at, opened_at + patience) if is_worth_waiting else opened_at + patience
