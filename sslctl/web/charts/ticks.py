"""Where the axes of a chart have their ticks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import count

_MOST_STEPS = 4
_WEEKS = (1, 2, 4)
_MONTHS = (1, 2, 3, 6, 12)


def number_ticks(highest: int) -> list[int]:
    """Return at most five round numbers at equal distances, the first one 0, the last one `highest` or a little more."""
    steps = (digit * 10**power for power in count() for digit in (1, 2, 5))
    step = next(step for step in steps if step * _MOST_STEPS >= highest)
    return [step * place for place in range(max(1, -(-highest // step)) + 1)]


def day_ticks(days: Sequence[date], most: int) -> list[date]:
    """Return at most `most` of the consecutive `days`: Mondays one, two or four weeks apart, or first days of months.

    A few days are all ticks. Ticks of many years are years apart.
    """
    if len(days) <= most:
        return list(days)
    mondays = [day for day in days if day.weekday() == 0]
    for weeks in _WEEKS:
        if len(mondays[::weeks]) <= most:
            return mondays[::weeks]
    for months in _MONTHS:
        found = [day for day in days if day.day == 1 and (day.month - 1) % months == 0]
        if len(found) <= most:
            return found
    years = [day for day in days if (day.month, day.day) == (1, 1)]
    return years[:: -(-len(years) // most)]
