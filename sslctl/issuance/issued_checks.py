"""Checks of a certificate that the CA has just issued."""

from __future__ import annotations

from datetime import datetime

from sslctl.certificates import x509
from sslctl.errors import BadInput
from sslctl.issuance.pass_ended import PassEnded
from sslctl.issuer import Issued
from sslctl.rules.issued_dates import given_up_at, is_dated_wrongly, usable_from
from sslctl.rules.model import Domain, Leaf, Order
from sslctl.rules.reasons import Code
from sslctl.rules.singapore import format_sgt


def has_expired(issued: Issued | None, now: datetime) -> bool:
    """Return whether a certificate was issued that has expired; not if it cannot be read."""
    try:
        return issued is not None and x509.read_leaf(issued.certificate).not_after <= now
    except BadInput:
        return False


def check_ordered(leaf: Leaf, order: Order) -> None:
    """Raise `BadInput` if the names of `leaf` are not those of `order`."""
    if set(leaf.names) != set(order.names):
        raise BadInput("its names are not exactly those that were ordered")


def check_dates(leaf: Leaf, order: Order, domain: Domain, now: datetime) -> None:
    """Raise `PassEnded` if `leaf` is not valid yet, or expired before `order` was opened: the order stays open.

    If our clock is wrong, a new order would end the same way. Raise `BadInput` when the order is to be given up.
    """
    current = domain.in_service
    if not is_dated_wrongly(leaf, order, current, now):
        return
    end_at = given_up_at(leaf, order, current, now)
    valid = f"{format_sgt(leaf.not_before)} to {format_sgt(leaf.not_after)}"
    if end_at <= now:
        raise BadInput(f"it is valid from {valid}")
    valid_at = end_at if leaf.not_after <= now else usable_from(leaf, current, now)
    raise PassEnded(Code.CLOCK_WRONG, format_sgt(now), valid, min(end_at, valid_at))
