"""Figures over days: certificates that expire, orders at the CA, and domains by status. Days are days in Singapore.

No figure costs more than a fraction of a second for 100,000 domains.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from sslctl.rules.model import Source
from sslctl.rules.reasons import Status

STATUS_DAYS = 731
"""For how many days the numbers of domains by status are kept: two years."""


class Outcome(StrEnum):
    """How an order ended."""

    ISSUED = "issued"
    FAILED = "failed"
    """It led to no certificate; perhaps the CA never received it."""
    OPEN = "open"
    """It has not ended yet."""


class ExpiryCount(NamedTuple):
    """The number of managed domains whose certificate in service has this source and expires on `day`."""

    day: date
    source: Source
    number: int


class OrderCount(NamedTuple):
    """The number of orders that were opened on `day`. A renewal is as in `Budget.is_renewal`, when the order was opened."""

    day: date
    is_renewal: bool
    outcome: Outcome
    number: int


class Figures(Protocol):
    """Numbers of certificates and orders by day. A combination that is not in a list has none."""

    def expiries(self, first: date, last: date) -> list[ExpiryCount]:
        """Return how many certificates in service expire on each day from `first` to `last`, by source, in this order.

        They are those that C4 had when its records were last read, ours or not.
        """

    def orders(self, first: date, last: date) -> list[OrderCount]:
        """Return how many orders were opened at the configured CAs on each day from `first` to `last`, in order.

        Orders whose CA is not recorded are included: those of the first releases.
        """


class StatusCounts(Protocol):
    """The number of domains by status, recorded once a day. A day without a record is unknown: it does not count as 0."""

    def record_status_counts(self, now: datetime) -> None:
        """Record the number of managed domains by status as of `now`, unless the day has a record already.

        A record that was made while the clock was ahead is replaced on its day. The last `STATUS_DAYS` days that have a
        record are kept.
        """

    def status_counts(self, first: date, last: date) -> Mapping[date, Mapping[Status, int]]:
        """Return the recorded numbers of the days from `first` to `last`, in order, with every status that was recorded.

        A record is left out if that of an earlier day in this range was made after it: the clock was wrong at one of them.
        """
