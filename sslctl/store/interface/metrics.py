"""Figures of the whole fleet, for monitoring. Each is computed in the database, for a fleet of any size."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from sslctl.rules.model import Source
from sslctl.rules.reasons import Code, Status
from sslctl.rules.renewal import RenewalRule


class Counted(StrEnum):
    """What is counted by outcome, from the creation of the state on. A counter never falls, whatever is deleted."""

    ORDERS = "orders"
    UPLOADS = "uploads"


ACCEPTED = "accepted"
"""The outcome of an upload that C4 accepted; every other outcome is a reason code."""


class ReasonCount(NamedTuple):
    """The number of managed domains with one status and reason.

    `code` is None for Success. For Expired it is that of what prevents the renewal, if there is anything.
    """

    status: Status
    code: Code | None
    number: int


class Metrics(Protocol):
    """Figures of the whole fleet. Deleted domains do not count."""

    def count_by_reason(self, now: datetime) -> list[ReasonCount]:
        """Return the number of domains by status and reason as of `now`; what no domain has is left out."""

    def count_overdue(self, now: datetime, rule: RenewalRule) -> int:
        """Return the number of domains whose renewal is overdue at `now`.

        What is served is of source c4 and valid, `expiry.is_renewal_late` holds, and the domain is not in Discard.
        """

    def count_uploads_owed(self, now: datetime) -> int:
        """Return the number of domains whose wanted certificate is valid at `now`, and which C4 is not known to serve.

        Domains in Discard and those for which C4 has another valid certificate are none.
        """

    def count_suspicions(self) -> dict[Code, int]:
        """Return the number of domains with a suspicion, by its code; codes without a domain are left out."""

    def soonest_expiries(self, now: datetime) -> dict[Source, datetime]:
        """Return the soonest expiry after `now` of what C4 serves, by source; a source without one is left out."""

    def outcomes(self, counted: Counted) -> dict[str, int]:
        """Return how often each outcome of `counted` happened; outcomes that never happened are left out."""
