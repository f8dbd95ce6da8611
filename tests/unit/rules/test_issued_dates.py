"""Certificates that are not valid by our clock: for how long their order is kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sslctl.rules.issued_dates import given_up_at, is_dated_wrongly, usable_from
from sslctl.rules.model import Installed, Leaf, Order, Source, State

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
ORDER = Order(1, 1, ("a.test",), "", NOW)


def issued(begins: timedelta, lifetime: timedelta = 90 * DAY) -> Leaf:
    return Leaf(("a.test",), "ab" * 32, "1f", "CN=CA", "ECDSA P-256", NOW + begins, NOW + begins + lifetime)


def served(left: timedelta) -> Installed:
    return Installed(Source.C4, "cd" * 32, NOW + left, State.ACTIVE)


@pytest.mark.parametrize(
    ("begins", "left", "expected"),
    [
        (-HOUR, None, False),
        (DAY, None, False),
        (DAY + MINUTE, None, True),
        (DAY, -HOUR, False),
        (10 * MINUTE, 7 * DAY, False),
        (11 * MINUTE, 7 * DAY, True),
        (-90 * DAY, None, True),
        (-90 * DAY + MINUTE, None, False),
    ],
    ids=str,
)
def test_certificate_is_dated_wrongly_if_it_begins_later_than_the_skew_or_had_expired(
    begins: timedelta, left: timedelta | None, expected: bool
) -> None:
    in_service = None if left is None else served(left)
    assert is_dated_wrongly(issued(begins), ORDER, in_service, NOW) is expected


@pytest.mark.parametrize(
    ("begins", "left", "kept"),
    [
        # Not valid in time: two days, half of what is left, at least a day, and not beyond the expiry.
        (400 * DAY, 7 * DAY, 2 * DAY),
        (400 * DAY, 80 * HOUR, 40 * HOUR),
        (400 * DAY, 30 * HOUR, DAY),
        (400 * DAY, 6 * HOUR, 6 * HOUR),
        (400 * DAY, -HOUR, 2 * DAY),
        (400 * DAY, None, 2 * DAY),
        (-400 * DAY, 7 * DAY, 2 * DAY),
        # Valid in time: until then.
        (5 * DAY, 7 * DAY, 5 * DAY - 10 * MINUTE),
        (7 * DAY, 7 * DAY, 2 * DAY),
        (4 * DAY, None, 3 * DAY),
        (6 * DAY, None, 2 * DAY),
    ],
    ids=str,
)
def test_order_is_given_up_before_what_is_served_expires(
    begins: timedelta, left: timedelta | None, kept: timedelta
) -> None:
    in_service = None if left is None else served(left)
    assert given_up_at(issued(begins), ORDER, in_service, NOW) == NOW + kept


def test_certificate_is_usable_a_day_early_only_if_nothing_valid_is_in_service() -> None:
    leaf = issued(2 * DAY)
    assert usable_from(leaf, None, NOW) == NOW + DAY
    assert usable_from(leaf, served(HOUR), NOW) == NOW + 2 * DAY - 10 * MINUTE
