"""The CA's limits: how many of what in which time, what each of them covers, and how they are written.

A limit is kept by a window that slides: never more than `count` within any `window`. Let's Encrypt refills steadily up
to `count` instead (https://letsencrypt.org/docs/rate-limits/), which allows everything that this does, and more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

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
    """What is limited, or paused: all that is asked of the CA, or one kind of order."""

    ACCOUNT = "account"
    BREAKER = "breaker"
    ORDERS = "orders"
    CERTIFICATES = "certificates"
    DUPLICATES = "duplicates"
    FAILURES = "failures"
    RENEWAL_INFO = "renewal_info"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a limit or a pause covers.

    `ACCOUNT` and `BREAKER` cover everything that is asked of the CA, the first by its own word, the second because it
    cannot be reached; the other kinds but the last cover new orders alone. `ORDERS` covers the account's, renewals excepted. For the
    rest `key` says whose: `CERTIFICATES` has a registered domain, renewals excepted too, `DUPLICATES` an exact set of
    names (`set_key`), `FAILURES` one name. `RENEWAL_INFO` covers asking when certificates are to be renewed, and no order.
    """

    kind: LimitKind
    key: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.key}" if self.key else self.kind


def scope_of(text: str) -> Scope:
    """Read what `str()` made of a scope. Raises `ValueError`."""
    kind, _, key = text.partition(":")
    return Scope(LimitKind(kind), key)


@dataclass(frozen=True, slots=True)
class Pause:
    """Until when nothing is asked of the CA that `scope` covers, and why (cleaned)."""

    scope: Scope
    until: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` within any `window`, a whole number of seconds."""

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

    def _period(self) -> tuple[int, str]:
        unit = next(unit for unit, size in _UNITS.items() if not self.window % size)
        return self.window // _UNITS[unit], unit


@dataclass(frozen=True, slots=True)
class Limits:
    """What a CA allows; None is no limit.

    `orders`: new orders of the account. `certificates`: new certificates for names below one registered domain.
    Renewals, orders for an exact set of names that has had a certificate before, count for neither. `duplicates`:
    certificates for one exact set of names. `failures`: failed validations of one name.
    """

    orders: Limit | None = None
    certificates: Limit | None = None
    duplicates: Limit | None = None
    failures: Limit | None = None


NO_LIMITS = Limits()
# https://letsencrypt.org/docs/rate-limits/
LETS_ENCRYPT = Limits(
    orders=Limit(300, timedelta(hours=3)),
    certificates=Limit(50, timedelta(days=7)),
    duplicates=Limit(5, timedelta(days=7)),
    failures=Limit(5, timedelta(hours=1)),
)
_BY_DIRECTORY = {"https://acme-v02.api.letsencrypt.org/directory": LETS_ENCRYPT}


def for_directory(url: str) -> Limits:
    """Give the limits of the CA whose directory is at `url`: Let's Encrypt's, or none.

    Its staging environment has its own, which change and are hardly reached; there the CA's word is waited for.
    """
    return _BY_DIRECTORY.get(url, NO_LIMITS)


def limit_of(text: str) -> Limit | None:
    """Read a limit as it is written, `300/3h` (days, hours, minutes or seconds), or `none`. Raises `ValueError`."""
    if text == "none":
        return None
    parts = _LIMIT.fullmatch(text)
    window = int(parts[2]) * _UNITS[parts[3]] if parts else timedelta()
    if parts is None or window > _LONGEST_WINDOW:
        raise ValueError("a limit is written like 300/3h, or none")
    return Limit(int(parts[1]), window)


def set_key(names: Iterable[str]) -> str:
    """Give an exact set of names as text, a sorted JSON array: for equal sets it is equal."""
    return json.dumps(sorted(set(names)))
