"""A million domains, and ten: what Let's Encrypt's limits and the machines allow, and what must change first.

Run as `python tests/bench/simulate_growth.py`; it takes seconds. It plays each fleet day by day with the functions that the tick
itself goes by (`sslctl.rules.renewal_days`) and prints a table. The exit code is 1 if a certificate expired in any of them.

What is simulated:

- A fleet that is added on one day. Certificates live 45 days, as Let's Encrypt's do from 16 February 2028, and are renewed 7 days
  before they expire. Renewals are exempt from the limit of new orders, and every one succeeds.
- The CA accepts 300 new orders in 3 hours from an account (https://letsencrypt.org/docs/rate-limits/), times the override that was
  granted. An override of 10 is what ten accounts would have; one account with an override is what the CA asks for.
- Renewals are spread: no day has more than the least number with which none is late (`renewal.max_per_day`). A fleet that was taken in
  within days falls due within days, and its first round binds.

And by arithmetic, for the busiest day, if its renewals are made within `NIGHT_HOURS`:

- addresses: the CA accepts 20 new orders a second from an IP address.
- cores: `CPU_SECONDS` for each certificate, and as many cores again for the database, C4 and the rest.
- ARI: a query for each certificate each 6 hours, the usual Retry-After, over the whole day.
- events: `EVENTS` rows of history for each renewal.
"""

from __future__ import annotations

import sys
from bisect import bisect_left
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from math import ceil

from sslctl.rules.renewal_days import Assumptions, Day, simulate

START = date(2028, 3, 1)
DAYS = 400
LIFETIME, BEFORE = timedelta(days=45), timedelta(days=7)
PUBLISHED_A_DAY = 300 * 24 // 3
ORDERS_A_SECOND = 20
NIGHT_HOURS = 8
CPU_SECONDS = 0.05
EVENTS = 10
ARI_HOURS = 6
FLEETS = (
    (100_000, 1),
    (100_000, 10),
    (1_000_000, 10),
    (1_000_000, 100),
    (10_000_000, 100),
    (10_000_000, 1_000),
)
HEAD = (
    "domains", "override", "days until all have one", "renewals on the busiest day", "a second at night", "addresses", "cores",
    "ARI queries a second", "events a year", "expired",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Growth:
    """A fleet of `domains`, added on one day, at a CA that accepts `override` times its published number of new orders."""

    domains: int
    override: int

    def days(self, most_a_day: int) -> list[Day]:
        """Simulate each day for more than a year after the last first certificate, with at most `most_a_day` renewals where possible."""
        new_a_day = PUBLISHED_A_DAY * self.override
        assumptions = Assumptions(BEFORE, lambda _day, _old: LIFETIME, most_a_day, None, new_a_day)
        first = START.toordinal()
        arrivals = {first: self.domains}
        days = simulate({}, first, assumptions, lambda day: arrivals.get(day, 0))
        return list(islice(days, self.intake_days + DAYS))

    def least_a_day(self) -> int:
        """Return the least number of renewals a day that suffices, to a thousandth of the average."""
        average = self.domains / (LIFETIME - BEFORE).days
        step = max(1, round(average / 1000))

        def suffices(steps: int) -> bool:
            return not any(day.late or day.renewals > steps * step for day in self.days(steps * step))

        return step * bisect_left(range(self.domains // step), True, key=suffices)  # noqa: FBT003 - what is searched for

    @property
    def intake_days(self) -> int:
        """The number of days until each domain has its first certificate."""
        return ceil(self.domains / (PUBLISHED_A_DAY * self.override))

    def row(self) -> list[str]:
        """Return the line of the table."""
        busiest = self.least_a_day()
        played = self.days(busiest)
        last_year = sum(day.renewals for day in played[-365:])
        a_second = busiest / (NIGHT_HOURS * 3600)
        return [
            f"{self.domains:,}",
            f"{self.override:,} times",
            f"{sum(1 for day in played if day.waiting) + 1:,}",
            f"{busiest:,}",
            f"{a_second:.1f}",
            f"{ceil(a_second / ORDERS_A_SECOND)}",
            f"{ceil(a_second * CPU_SECONDS * 2)}",
            f"{self.domains / (ARI_HOURS * 3600):,.0f}",
            f"{last_year * EVENTS:,}",
            f"{sum(day.expired for day in played):,}",
        ]


def main() -> int:
    """Simulate each fleet and print the table; return the exit code."""
    rows = [Growth(*each).row() for each in FLEETS]
    widths = [max(map(len, column)) for column in zip(HEAD, *rows, strict=True)]
    for line in (HEAD, ["-" * width for width in widths], *rows):
        print(f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |")
    return int(any(row[-1] != "0" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
