"""Two years and a million domains, with spreading and without: which certificates expire because they were not renewed.

Run as `python tests/bench/simulate_two_years.py [--png FILE]`; it takes seconds. It plays the days with the functions
that the tick itself goes by (`sslctl.rules.renewal_days`) and prints a table. The exit code is 1 if with spreading anything
expired, was renewed late, or went beyond the night's capacity.

What is simulated:

- Two years from 1 December 2026, so that both of Let's Encrypt's changes fall inside: certificates live 90 days, 64 from
  10 February 2027, 45 from 16 February 2028. They are renewed 7 days before they expire.
- 1,000,000 domains: four cohorts, each added on a single day, and 410 more on every day.
- A night (that is, a day) can do 27,000 renewals and no more. A million domains with 45 days to live need 26,316 on the
  average night, one in 38 each; so this is 3 % above what must be done anyhow. `renewal.max_per_day` is the same.
- New domains are bound by the CA. At Let's Encrypt's published limit, 300 orders in 3 hours, that is 2,400 a day: a
  cohort waits its turn, and is spread over months before sslctl does anything. An account with a raised limit, here
  100,000 a day, takes it in within days, and has it fall due within days.
- Renewals are exempt from the CA's limits, and every one succeeds. Domains that fail for their own reasons would be
  the same with spreading and without.
- An expiry is counted if no renewal was made by the end of the day before.

The night without a limit ("any") shows what it would take to renew everything on the day that it is due.
"""

from __future__ import annotations

import argparse
import sys
import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from pathlib import Path

from sslctl.rules.renewal_days import Assumptions, Day, simulate

START = date(2026, 12, 1)
DAYS = 731
BEFORE = timedelta(days=7)
CAPACITY = 27_000
PUBLISHED, RAISED = 2_400, 100_000
COHORTS = {
    date(2026, 12, 1): 100_290,
    date(2027, 3, 1): 250_000,
    date(2027, 7, 1): 200_000,
    date(2027, 11, 1): 150_000,
}
GROWTH = 410
# https://letsencrypt.org/2025/12/02/from-90-to-45
LIFETIMES = ((date(2028, 2, 16), 45), (date(2027, 2, 10), 64), (date.min, 90))


def lifetime(day: int, _old: timedelta | None) -> timedelta:
    """Return the lifetime of a certificate that Let's Encrypt issues on `day`, by its published schedule."""
    return timedelta(days=next(days for since, days in LIFETIMES if day >= since.toordinal()))


def arrivals(day: int) -> int:
    """Return how many domains are added on `day`."""
    return GROWTH + COHORTS.get(date.fromordinal(day), 0)


@dataclass(frozen=True, slots=True)
class Scenario:
    """`capacity` renewals a night at most, None for any number; `new_a_day` is the CA's limit."""

    name: str
    new_a_day: int
    capacity: int | None
    spread: bool

    def days(self) -> list[Day]:
        """Simulate every day."""
        budget = self.capacity if self.spread else None
        assumptions = Assumptions(BEFORE, lifetime, budget, self.capacity, self.new_a_day)
        return list(islice(simulate({}, START.toordinal(), assumptions, arrivals), DAYS))


SCENARIOS = tuple(
    Scenario(name, new_a_day, capacity, spread)
    for name, new_a_day in (("published", PUBLISHED), ("raised", RAISED))
    for capacity, spread in ((CAPACITY, True), (CAPACITY, False), (None, False))
)


def least(new_a_day: int, *, spread: bool, late: bool) -> int:
    """Find the capacity, in hundreds, with which nothing expires; without `late` nothing is renewed late either."""

    def does(hundreds: int) -> bool:
        days = Scenario("", new_a_day, hundreds * 100, spread).days()
        return not any(day.expired or (day.late and not late) for day in days)

    return 100 * bisect_left(range(4_000), True, key=does)  # noqa: FBT003 - what is searched for


def row(scenario: Scenario, days: Sequence[Day]) -> list[str]:
    """Return the line of the table."""
    expired = [day for day in days if day.expired]
    busiest = max(days, key=lambda day: day.renewals)
    return [
        scenario.name,
        "any" if scenario.capacity is None else f"{scenario.capacity:,}",
        "yes" if scenario.spread else "no",
        f"{sum(day.new for day in days):,}",
        f"{sum(day.renewals for day in days):,}",
        f"{sum(day.early for day in days):,}",
        f"{busiest.renewals:,} on {date.fromordinal(busiest.day)}",
        f"{max(day.late for day in days):,}",
        f"{sum(day.expired for day in days):,}",
        str(date.fromordinal(expired[0].day)) if expired else "never",
    ]


HEAD = (
    "CA's limit", "a night", "spread", "domains", "renewals", "early", "busiest night", "most late", "expired",
    "first expiry",
)  # fmt: skip


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table in Markdown."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |"
        for line in lines
    )


def draw(played: Sequence[tuple[Scenario, Sequence[Day]]], path: Path) -> None:
    """Draw the nights of each scenario into the PNG file `path`. Needs matplotlib."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - the table needs none

    figure = Figure(figsize=(11, 6.4), layout="constrained")
    panels = figure.subplots(2, 1, sharex=True)
    for panel, name in zip(panels, ("published", "raised"), strict=True):
        for scenario, days in played:
            if scenario.name != name or scenario.capacity is None:
                continue
            dates = [date.fromordinal(day.day) for day in days]
            label = "with spreading" if scenario.spread else "without"
            (line,) = panel.plot(dates, [day.renewals for day in days], label=f"renewals {label}")
            if any(day.expired for day in days):
                expired = [day.expired for day in days]
                panel.plot(dates, expired, color=line.get_color(), linestyle=":", label=f"expired {label}")
        panel.set(title=f"The CA's {name} limit of new orders", ylabel="a night")
        panel.grid(visible=True, alpha=0.3)
        panel.legend(loc="upper left")
    figure.savefig(path, dpi=110)


def main() -> int:
    """Simulate every scenario and print the tables; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--png", type=Path, metavar="FILE", help="draw the nights; needs matplotlib")
    arguments = parser.parse_args()
    began = time.process_time()
    played = [(scenario, scenario.days()) for scenario in SCENARIOS]
    print(table(HEAD, [row(scenario, days) for scenario, days in played]))
    print("\nThe least that a night must be able to do within these two years, in hundreds:\n")
    needs = [
        [name, "yes" if spread else "no"]
        + [f"{least(new_a_day, spread=spread, late=late):,}" for late in (True, False)]
        for name, new_a_day in (("published", PUBLISHED), ("raised", RAISED))
        for spread in (True, False)
    ]
    print(table(("CA's limit", "spread", "so that none expires", "so that none is late"), needs))
    print(f"\n{time.process_time() - began:.1f} s of CPU")
    if arguments.png:
        draw(played, arguments.png)
    kept = [days for scenario, days in played if scenario.spread]
    return int(any(day.expired or day.late or day.renewals > CAPACITY for days in kept for day in days))


if __name__ == "__main__":
    sys.exit(main())
