"""The CA's rate limits: what they count, what they cover, and how they are written.

A limit is a sliding window: never more than `count` within any `window`. Let's Encrypt uses a token bucket instead, which
refills steadily up to `count` (https://letsencrypt.org/docs/rate-limits/). It allows everything that the sliding window
allows, and more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

_UNITS = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
}
_WORDS = {"d": "day", "h": "hour", "m": "minute", "s": "second"}
_LIMIT = re.compile(r"([1-9][0-9]{0,8})/([1-9][0-9]{0,6})([dhms])", re.ASCII)
_LONGEST_WINDOW = timedelta(days=366)


class LimitKind(StrEnum):
    """What is limited or paused: all requests to the CA, one kind of orders, or renewal information."""

    ACCOUNT = "account"
    BREAKER = "breaker"
    ORDERS = "orders"
    CERTIFICATES = "certificates"
    DUPLICATES = "duplicates"
    FAILURES = "failures"
    RENEWAL_INFO = "renewal_info"
    URGENT = "urgent"


CA_WIDE = (LimitKind.ACCOUNT, LimitKind.BREAKER, LimitKind.ORDERS)
"""What holds back a new order for a reason of the CA or of our account there, and none of the domain."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a limit or a pause covers.

    `ACCOUNT` and `BREAKER` cover all requests to the CA: `ACCOUNT` because the CA asked for a pause, `BREAKER` because the
    CA cannot be reached. `RENEWAL_INFO` covers queries for renewal information (ARI), and no orders. `URGENT` covers the
    orders that go ahead during a pause (`budget.URGENT_INTERVAL`). All other kinds cover only new orders:
    - `ORDERS`: the orders of the account, except renewals.
    - `CERTIFICATES`: the orders below one registered domain, `key`, except renewals.
    - `DUPLICATES`: the orders for one exact set of names; `key` is its `set_key`.
    - `FAILURES`: the orders for one name, `key`.
    """

    kind: LimitKind
    key: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.key}" if self.key else self.kind


def scope_of(text: str) -> Scope:
    """Parse the `str()` of a scope. Raise `ValueError` if it is none."""
    kind, _, key = text.partition(":")
    return Scope(LimitKind(kind), key)


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause: sslctl sends nothing to the CA that `scope` covers before `until`. `why` is cleaned text.

    `ca` is the URL of the CA's directory.
    """

    scope: Scope
    until: datetime
    why: str
    ca: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of `count` within any `window`, a whole number of seconds."""

    count: int
    window: timedelta

    def __str__(self) -> str:
        number, unit = self._period()
        return f"{self.count}/{number}{unit}"

    @property
    def period(self) -> str:
        """The window in words: `3 hours`."""
        number, unit = self._period()
        return f"{number} {_WORDS[unit]}{'' if number == 1 else 's'}"

    @property
    def per_day(self) -> int:
        """How many a day this allows on average, rounded down, but at least 1."""
        return max(1, timedelta(days=1) * self.count // self.window)

    def _period(self) -> tuple[int, str]:
        unit = next(unit for unit, size in _UNITS.items() if not self.window % size)
        return self.window // _UNITS[unit], unit


RENEWABLE_FOR = timedelta(days=120)
"""How long after a certificate was issued an order for the same names is a renewal at Let's Encrypt.

Boulder counts from `not_before` (wfe2, newOrder; sa, FQDNSetTimestampsForWindow).
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a CA; None means no limit.

    `orders`: new orders of the account. `certificates`: new certificates for names below one registered domain. Neither
    counts renewals: orders for an exact set of names for which the CA issued a certificate less than `renewable_for` ago.
    `duplicates`: certificates for one exact set of names. `failures`: failed validations of one name.
    """

    orders: Limit | None = None
    certificates: Limit | None = None
    duplicates: Limit | None = None
    failures: Limit | None = None
    renewable_for: timedelta = RENEWABLE_FOR


NO_LIMITS = Limits()
NO_CA: Mapping[str, Limits] = MappingProxyType({"": NO_LIMITS})
"""The limits of each CA by the URL of its directory, where none is configured."""

_UNKNOWN_LIMIT = timedelta(days=1)
# https://letsencrypt.org/docs/rate-limits/
LETS_ENCRYPT = Limits(
    orders=Limit(300, timedelta(hours=3)),
    certificates=Limit(50, timedelta(days=7)),
    duplicates=Limit(5, timedelta(days=7)),
    failures=Limit(5, timedelta(hours=1)),
)
_BY_DIRECTORY = {"https://acme-v02.api.letsencrypt.org/directory": LETS_ENCRYPT}


def for_directory(url: str) -> Limits:
    """Return the limits of the CA with the directory `url`: Let's Encrypt's, or no limits.

    Let's Encrypt's staging environment has other limits, which change and are rarely reached. There sslctl relies on the
    CA's refusals.
    """
    return _BY_DIRECTORY.get(url, NO_LIMITS)


def longest_pause(kind: LimitKind | None) -> timedelta:
    """Return for how long a 429 of the CA about a limit of `kind` is believed: that limit's window, a day for an unknown limit.

    None is a limit of a name that the CA did not tell.
    """
    windows = {
        LimitKind.ORDERS: LETS_ENCRYPT.orders,
        LimitKind.CERTIFICATES: LETS_ENCRYPT.certificates,
        LimitKind.DUPLICATES: LETS_ENCRYPT.duplicates,
        LimitKind.FAILURES: LETS_ENCRYPT.failures,
        None: LETS_ENCRYPT.certificates,
    }
    limit = windows.get(kind)
    return _UNKNOWN_LIMIT if limit is None else limit.window


def limit_of(text: str) -> Limit | None:
    """Parse a limit: `300/3h` (units d, h, m and s), or `none`. Raise `ValueError` for any other text."""
    if text == "none":
        return None
    parts = _LIMIT.fullmatch(text)
    window = int(parts[2]) * _UNITS[parts[3]] if parts else timedelta()
    if parts is None or window > _LONGEST_WINDOW:
        raise ValueError("a limit is written like 300/3h, or none")
    return Limit(int(parts[1]), window)


def set_key(names: Iterable[str]) -> str:
    """Return a set of names as text, a sorted JSON array. Equal sets have equal keys."""
    return json.dumps(sorted(set(names)))
