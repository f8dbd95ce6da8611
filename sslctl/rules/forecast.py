"""The orders of the coming days, and whether they fit the limits: the rules of `sslctl forecast`."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import islice

from sslctl.rules import renewal_days
from sslctl.rules.renewal_days import Assumptions, Day, RenewalCounts

# Most CAs use this lifetime, and Let's Encrypt does until 2027. It is assumed if there are no certificates to count.
USUAL_LIFETIME = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Scenario:
    """The parameters of a forecast: `days` days from `today` on, with `new` domains to add.

    `renewed` certificates were renewed today already. `budget` is `renewal.max_per_day`, None for no limit. `new_a_day` is
    the number of new domains a day that the CA accepts, None for any number. `lifetime` is the lifetime of new certificates;
    if it is None, a certificate lives as long as the one that it replaces.
    """

    today: int
    days: int
    before: timedelta
    new: int = 0
    renewed: int = 0
    budget: int | None = None
    new_a_day: int | None = None
    lifetime: timedelta | None = None

    def beyond_budget(self, day: Day) -> int:
        """Return how many renewals `day` has beyond the budget."""
        made = self.renewed if day.day == self.today else 0
        return 0 if self.budget is None else max(0, min(day.renewals, day.renewals + made - self.budget))

    def is_met_by(self, days: Iterable[Day]) -> bool:
        """Return whether every renewal is made by its due day, within the budget."""
        return not any(day.late or self.beyond_budget(day) for day in days)


@dataclass(frozen=True, slots=True)
class Forecast:
    """The result of a forecast. `unspread` is the number of renewals of each day without spreading.

    `enough` is the smallest sufficient budget, None if the budget of the scenario is sufficient.
    """

    scenario: Scenario
    days: Sequence[Day]
    unspread: Sequence[int]
    enough: int | None = None

    @property
    def breaks_on(self) -> date | None:
        """The first day that exceeds the budget, or None."""
        return next(
            (date.fromordinal(day.day) for day in self.days if self.scenario.beyond_budget(day)), None
        )

    @property
    def fits(self) -> bool:
        """Whether every renewal is made by its due day, within the budget."""
        return self.scenario.is_met_by(self.days)

    def busiest(self, number: int) -> list[Day]:
        """Return the `number` days with the most orders, the busiest first, without days that have none."""
        return sorted((day for day in self.days if day.orders), key=lambda day: -day.orders)[:number]


def make_forecast(fleet: RenewalCounts, scenario: Scenario) -> Forecast:
    """Return the forecast for `scenario`."""
    spread = list(_simulate(fleet, scenario))
    if scenario.budget is None:
        return Forecast(scenario, spread, [day.renewals for day in spread])
    unspread = [day.renewals for day in _simulate(fleet, replace(scenario, budget=None))]
    forecast = Forecast(scenario, spread, unspread)
    return forecast if forecast.fits else replace(forecast, enough=_enough(fleet, scenario, max(unspread)))


def _enough(fleet: RenewalCounts, scenario: Scenario, most: int) -> int:
    """Return the smallest sufficient budget. The number of renewals of the busiest day, `most`, is always sufficient."""

    def fits(budget: int) -> bool:
        asked = replace(scenario, budget=budget)
        return asked.is_met_by(_simulate(fleet, asked))

    assert scenario.budget is not None  # noqa: S101 - only an insufficient budget leads here
    least = scenario.budget + 1
    return least + bisect_left(range(least, scenario.renewed + most), True, key=fits)  # noqa: FBT003 - the value to find


def _simulate(fleet: RenewalCounts, scenario: Scenario) -> Iterator[Day]:
    usual = _usual(fleet)

    def lifetime(_day: int, old: timedelta | None) -> timedelta:
        return scenario.lifetime or old or usual

    assumptions = Assumptions(scenario.before, lifetime, scenario.budget, new_a_day=scenario.new_a_day)
    days = renewal_days.simulate(
        fleet,
        scenario.today,
        assumptions,
        lambda day: scenario.new if day == scenario.today else 0,
        made=scenario.renewed,
    )
    return islice(days, scenario.days)


def _usual(fleet: RenewalCounts) -> timedelta:
    """Return the most frequent lifetime in `fleet`."""
    counts: Counter[timedelta] = Counter()
    for window, count in fleet.items():
        counts[window.lifetime] += count
    return max(counts, key=lambda lifetime: (counts[lifetime], lifetime), default=USUAL_LIFETIME)


def count(number: int, noun: str) -> str:
    """Return a number with its noun: `1 day`, `2,000 days`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def summarise(forecast: Forecast) -> list[str]:
    """Return sentences that say whether the orders fit the limits, and if not, why."""
    sentences = [_of_renewals(forecast)]
    if forecast.enough is not None:
        sentences.append(f"A renewal.max_per_day of {forecast.enough:,} would be enough.")
    if forecast.unspread != [day.renewals for day in forecast.days]:
        most = max(forecast.unspread)
        day = date.fromordinal(forecast.scenario.today + forecast.unspread.index(most))
        sentences.append(f"Without spreading, {day} would have {most:,}.")
    return [*sentences, *_of_new_domains(forecast)]


def _of_renewals(forecast: Forecast) -> str:
    budget, days = forecast.scenario.budget, forecast.days
    most = max(day.renewals for day in days)
    if not most:
        return "No renewal is due in these days."
    if budget is None:
        return f"No day has more than {count(most, 'renewal')}; renewal.max_per_day sets no limit."
    if forecast.fits:
        return (
            f"It fits: no day has more than {count(most, 'renewal')}, and renewal.max_per_day is {budget:,}."
        )
    over = forecast.scenario.beyond_budget
    worst = max(days, key=over)
    if over(worst):
        return (
            f"It does not fit: from {forecast.breaks_on} on, certificates expire unless more are renewed a day than"
            f" renewal.max_per_day, {budget:,}; {date.fromordinal(worst.day)} needs {over(worst):,} more."
        )
    first = next(day for day in days if day.late)
    return (
        f"It is tight for a renewal.max_per_day of {budget:,}: from {date.fromordinal(first.day)} on, up to"
        f" {max(day.late for day in days):,} renewals are made after their due day, but before the expiry."
    )


def _of_new_domains(forecast: Forecast) -> list[str]:
    taken, limit = [day for day in forecast.days if day.new], forecast.scenario.new_a_day
    if limit is not None and forecast.days[-1].waiting:
        waiting = count(forecast.days[-1].waiting, "domain")
        return [f"The CA accepts {count(limit, 'new domain')} a day; on the last day {waiting} still wait."]
    return (
        [f"The last new domain gets its certificate on {date.fromordinal(taken[-1].day)}."] if taken else []
    )
