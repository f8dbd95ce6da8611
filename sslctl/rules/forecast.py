"""What the coming days bring a fleet, and whether that fits: `sslctl forecast`."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import islice

from sslctl.rules import renewal_days
from sslctl.rules.renewal_days import Day, Fleet, Terms

# What most CAs give, and Let's Encrypt until 2027, for want of certificates to go by.
USUAL_LIFETIME = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Question:
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

    def over(self, day: Day) -> int:
        """Give how many renewals `day` has beyond the budget."""
        made = self.renewed if day.day == self.today else 0
        return 0 if self.budget is None else max(0, min(day.renewals, day.renewals + made - self.budget))

    def is_met_by(self, days: Iterable[Day]) -> bool:
        """Say whether each renewal is made by the day it is due, within the budget."""
        return not any(day.late or self.over(day) for day in days)


@dataclass(frozen=True, slots=True)
class Outlook:
    """The answer. `unspread` is how many renewals each day would have without spreading.

    `enough` is the least budget that would do, None where the one there is does.
    """

    question: Question
    days: Sequence[Day]
    unspread: Sequence[int]
    enough: int | None = None

    @property
    def breaks_on(self) -> date | None:
        """The first day that cannot keep to the budget; None where all can."""
        return next((date.fromordinal(day.day) for day in self.days if self.question.over(day)), None)

    @property
    def fits(self) -> bool:
        """Say whether each renewal is made by the day it is due, within the budget."""
        return self.question.is_met_by(self.days)

    def busiest(self, number: int) -> list[Day]:
        """Give the `number` days with most orders, most first; days without any are left out."""
        return sorted((day for day in self.days if day.orders), key=lambda day: -day.orders)[:number]


def look_ahead(fleet: Fleet, question: Question) -> Outlook:
    """Play the days that `question` asks for."""
    spread = list(_play(fleet, question))
    if question.budget is None:
        return Outlook(question, spread, [day.renewals for day in spread])
    unspread = [day.renewals for day in _play(fleet, replace(question, budget=None))]
    outlook = Outlook(question, spread, unspread)
    return outlook if outlook.fits else replace(outlook, enough=_enough(fleet, question, max(unspread)))


def _enough(fleet: Fleet, question: Question, most: int) -> int:
    """Find the least budget with which all fits; with the busiest day's own number it surely does."""

    def fits(budget: int) -> bool:
        asked = replace(question, budget=budget)
        return asked.is_met_by(_play(fleet, asked))

    assert question.budget is not None  # noqa: S101 - there is one that is too small
    least = question.budget + 1
    return least + bisect_left(range(least, question.renewed + most), True, key=fits)  # noqa: FBT003 - what is searched for


def _play(fleet: Fleet, question: Question) -> Iterator[Day]:
    usual = _usual(fleet)

    def lifetime(_day: int, old: timedelta | None) -> timedelta:
        return question.lifetime or old or usual

    terms = Terms(question.before, lifetime, question.budget, new_a_day=question.new_a_day)
    days = renewal_days.play(
        fleet,
        question.today,
        terms,
        lambda day: question.new if day == question.today else 0,
        made=question.renewed,
    )
    return islice(days, question.days)


def _usual(fleet: Fleet) -> timedelta:
    """Give the lifetime that most certificates of `fleet` have."""
    counts: Counter[timedelta] = Counter()
    for window, count in fleet.items():
        counts[window.lifetime] += count
    return max(counts, key=lambda lifetime: (counts[lifetime], lifetime), default=USUAL_LIFETIME)


def count(number: int, noun: str) -> str:
    """Give a number with its noun, in the plural where that is due."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def verdict(outlook: Outlook) -> list[str]:
    """Say in sentences whether it fits, and why not."""
    sentences = [_of_renewals(outlook)]
    if outlook.enough is not None:
        sentences.append(f"A renewal.max_per_day of {outlook.enough:,} would do.")
    if outlook.unspread != [day.renewals for day in outlook.days]:
        most = max(outlook.unspread)
        day = date.fromordinal(outlook.question.today + outlook.unspread.index(most))
        sentences.append(f"Without spreading {day} would have {most:,}.")
    return [*sentences, *_of_new_domains(outlook)]


def _of_renewals(outlook: Outlook) -> str:
    budget, days = outlook.question.budget, outlook.days
    most = max(day.renewals for day in days)
    if not most:
        return "No renewal falls due in these days."
    if budget is None:
        return f"No day has more than {count(most, 'renewal')}; renewal.max_per_day sets no limit."
    if outlook.fits:
        return (
            f"It fits: no day has more than {count(most, 'renewal')}, and renewal.max_per_day is {budget:,}."
        )
    over = outlook.question.over
    worst = max(days, key=over)
    if over(worst):
        return (
            f"It breaks on {outlook.breaks_on}: from then on certificates expire unless more is renewed than"
            f" renewal.max_per_day, {budget:,}; {date.fromordinal(worst.day)} has {over(worst):,} more."
        )
    first = next(day for day in days if day.late)
    return (
        f"It is tight for a renewal.max_per_day of {budget:,}: from {date.fromordinal(first.day)} on up to"
        f" {max(day.late for day in days):,} renewals wait beyond the day they are due, none until it expires."
    )


def _of_new_domains(outlook: Outlook) -> list[str]:
    taken, limit = [day for day in outlook.days if day.new], outlook.question.new_a_day
    if limit is not None and outlook.days[-1].waiting:
        waiting = count(outlook.days[-1].waiting, "domain")
        return [f"The CA takes {count(limit, 'new domain')} a day: on the last day {waiting} more wait."]
    return [f"The last new domain is taken in on {date.fromordinal(taken[-1].day)}."] if taken else []
