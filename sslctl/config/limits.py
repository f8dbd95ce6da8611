"""The rate limits of a CA: the section `[limits]`, and the table of the same name of each fallback CA."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from sslctl.config import values as read
from sslctl.rules.limits import RENEWABLE_FOR, Limits, for_directory, limit_of


@dataclass(frozen=True, slots=True)
class LimitsSection:
    """The CA's rate limits: `300/3h`; `none` for no limit; empty for the CA's own (`limits.for_directory`).

    An order is a renewal, exempt from `orders` and `certificates`, for `renewal_days` after the last certificate for the
    same names was issued.
    """

    orders: str = ""
    certificates: str = ""
    duplicates: str = ""
    failures: str = ""
    renewal_days: float = RENEWABLE_FOR.days

    def limits_of(self, directory_url: str) -> Limits:
        """Return the limits of the CA with the directory `directory_url`."""
        names = ("orders", "certificates", "duplicates", "failures")
        configured = {name: text for name in names if (text := getattr(self, name))}
        return replace(
            for_directory(directory_url),
            renewable_for=timedelta(days=self.renewal_days),
            **{name: limit_of(text) for name, text in configured.items()},
        )


READ: Mapping[str, Callable[[object], object]] = {
    "orders": read.limit,
    "certificates": read.limit,
    "duplicates": read.limit,
    "failures": read.limit,
    "renewal_days": read.days,
}
"""The reader of each key."""
