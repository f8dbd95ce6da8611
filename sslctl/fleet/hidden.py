"""The domains with trouble that people are not shown: they are snoozed or abandoned, and only counted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sslctl.rules.model import Domain
from sslctl.rules.onboarding import is_abandoned
from sslctl.rules.snoozing import is_snoozed


def is_hidden(domain: Domain, now: datetime) -> bool:
    """Return whether `domain` is snoozed or abandoned at `now`."""
    return is_snoozed(domain, now) or is_abandoned(domain, now)


@dataclass(slots=True)
class Hidden:
    """How many domains were left out because they are snoozed, and how many because they are abandoned only."""

    snoozed: int = 0
    abandoned: int = 0

    def counts(self, domain: Domain, now: datetime) -> bool:
        """Return whether `domain` is to be left out at `now`, and count it if it is."""
        if is_snoozed(domain, now):
            self.snoozed += 1
        elif is_abandoned(domain, now):
            self.abandoned += 1
        else:
            return False
        return True

    def describe(self) -> str:
        """Return both numbers in a sentence; empty if nothing was left out."""
        numbers = (self.snoozed, "snoozed"), (self.abandoned, "abandoned")
        parts = [f"{number:,} {what}" for number, what in numbers if number]
        return f"Left out: {', '.join(parts)}." if parts else ""
