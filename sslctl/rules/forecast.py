"""What the coming days bring a fleet, and whether that fits: `sslctl forecast`."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import islice

from sslctl.rules import renewal_days
from sslctl.rules.renewal_days import Assumptions, Day, RenewalCounts

# What most CAs give, and Let's Encrypt until 2027, for want of certificates to go by.
USUAL_LIFETIME = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is asked: `days` days from `today` on, with `new` domains to take in.

    `renewed` were renewed today already. `budget` is `renewal.max_per_day`, None for no limit. `new_a_day` is how many
    new domains the CA takes, None for any number. Certificates live as long as those they replace, unless `lifetime`.
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
        """Give how many renewals `day` has beyond the budget."""
        made = self.renewed if day.day == self.today else 0
        return 0 if self.budget is None else max(0, min(day.renewals, day.renewals + made - self.budget))

    def is_met_by(self, days: Iterable[Day]) -> bool:
        """Say whether each renewal is made by the day it is due, within the budget."""
        return not any(day.late or self.beyond_budget(day) for day in days)


@dataclass(frozen=True, slots=True)
class Forecast:
    """The answer. `unspread` is how many renewals each day would have without spreading.

    `enough` is the least budget that would do, None where the one there is does.
    """

    scenario: Scenario
    days: Sequence[Day]
    unspread: Sequence[int]
    enough: int | None = None

    @property
    def breaks_on(self) -> date | None:
        """The first day that cannot keep to the budget; None where all can."""
        return next(
            (date.fromordinal(day.day) for day in self.days if self.scenario.beyond_budget(day)), None
        )

    @property
    def fits(self) -> bool:
        """Say whether each renewal is made by the day it is due, within the budget."""
        return self.scenario.is_met_by(self.days)

    def busiest(self, number: int) -> list[Day]:
        """Give the `number` days with most orders, most first; days without any are left out."""
        return sorted((day for day in self.days if day.orders), key=lambda day: -day.orders)[:number]


def make_forecast(fleet: RenewalCounts, scenario: Scenario) -> Forecast:
    """Play the days that `scenario` asks for."""
    spread = list(_simulate(fleet, scenario))
    if scenario.budget is None:
        return Forecast(scenario, spread, [day.renewals for day in spread])
    unspread = [day.renewals for day in _simulate(fleet, replace(scenario, budget=None))]
    forecast = Forecast(scenario, spread, unspread)
    return forecast if forecast.fits else replace(forecast, enough=_enough(fleet, scenario, max(unspread)))


def _enough(fleet: RenewalCounts, scenario: Scenario, most: int) -> int:
    """Find the least budget with which all fits; with the busiest day's own number it surely does."""

    def fits(budget: int) -> bool:
        asked = replace(scenario, budget=budget)
        return asked.is_met_by(_simulate(fleet, asked))

    assert scenario.budget is not None  # noqa: S101 - there is one that is too small
    least = scenario.budget + 1
    return least + bisect_left(range(least, scenario.renewed + most), True, key=fits)  # noqa: FBT003 - what is searched for


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
    """Give the lifetime that most certificates of `fleet` have."""
    counts: Counter[timedelta] = Counter()
    for window, count in fleet.items():
        counts[window.lifetime] += count
    return max(counts, key=lambda lifetime: (counts[lifetime], lifetime), default=USUAL_LIFETIME)


def count(number: int, noun: str) -> str:
    """Give a number with its noun, in the plural where that is due."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def summarise(forecast: Forecast) -> list[str]:
    """Say in sentences whether it fits, and why not."""
    sentences = [_of_renewals(forecast)]
    if forecast.enough is not None:
        sentences.append(f"A renewal.max_per_day of {forecast.enough:,} would do.")
    if forecast.unspread != [day.renewals for day in forecast.days]:
        most = max(forecast.unspread)
        day = date.fromordinal(forecast.scenario.today + forecast.unspread.index(most))
        sentences.append(f"Without spreading {day} would have {most:,}.")
    return [*sentences, *_of_new_domains(forecast)]


def _of_renewals(forecast: Forecast) -> str:
    budget, days = forecast.scenario.budget, forecast.days
    most = max(day.renewals for day in days)
    if not most:
        return "No renewal falls due in these days."
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
            f"It breaks on {forecast.breaks_on}: from then on certificates expire unless more is renewed than"
            f" renewal.max_per_day, {budget:,}; {date.fromordinal(worst.day)} has {over(worst):,} more."
        )
    first = next(day for day in days if day.late)
    return (
        f"It is tight for a renewal.max_per_day of {budget:,}: from {date.fromordinal(first.day)} on up to"
        f" {max(day.late for day in days):,} renewals wait beyond the day they are due, none until it expires."
    )


def _of_new_domains(forecast: Forecast) -> list[str]:
    taken, limit = [day for day in forecast.days if day.new], forecast.scenario.new_a_day
    if limit is not None and forecast.days[-1].waiting:
        waiting = count(forecast.days[-1].waiting, "domain")
        return [f"The CA takes {count(limit, 'new domain')} a day: on the last day {waiting} more wait."]
    return [f"The last new domain is taken in on {date.fromordinal(taken[-1].day)}."] if taken else []
