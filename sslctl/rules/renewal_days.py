"""How many renewals fall on which day, and how many of them are made earlier so that no day gets too many.

Pure functions over counts: certificates that are alike count together, so a million cost as little as a hundred. A day
is Singapore's, by its `date.toordinal`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from heapq import heappop, heappush
from operator import attrgetter
from typing import NamedTuple

from sslctl.rules.renewal import renewal_margin
from sslctl.rules.singapore import SGT

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


class DayWindow(NamedTuple):
    """The days that a renewal is open to.

    `due` is its day; from `earliest` on it may be made earlier, half of the certificate's `lifetime` having passed. On
    `latest`, the day before the expiry, it is made whatever the budget says.
    """

    latest: int
    due: int
    earliest: int
    lifetime: timedelta


RenewalCounts = Mapping[DayWindow, int]
"""How many certificates have which window."""


def day_of(at: datetime) -> int:
    """Give the day of `at` in Singapore."""
    return at.astimezone(SGT).toordinal()


def start_of(day: int) -> datetime:
    """Give 00:00 in Singapore of `day`."""
    return datetime.combine(date.fromordinal(day), time(), SGT)


def day_window(expires_at: datetime, lifetime: timedelta, before: timedelta) -> DayWindow:
    """Give the window of a certificate that expires in the hour that begins at `expires_at`.

    `before` is `renewal.before_days`. Ticks are hourly: what falls due in the last hour of a day is the next day's.
    """
    due = day_of(expires_at - renewal_margin(lifetime, before) + _HOUR)
    earliest = day_of(expires_at - lifetime / 2 + _DAY - timedelta.resolution)
    return DayWindow(max(day_of(expires_at) - 1, due), due, min(earliest, due), lifetime)


def due_after(day: int, before: timedelta) -> datetime:
    """Give the time from which on an expiry means a renewal due after `day`, lifetimes under twice `before` apart."""
    return start_of(day + 1) + before - _HOUR


def count_needed_today(fleet: RenewalCounts, today: int, budget: int) -> int:
    """Give how many renewals of `fleet` are made by the end of `today` at least, so that no later day needs more than `budget`.

    What falls due by `today` counts, budget or not. The rest is pulled in from days to come: as little as will do, and
    as late as will do. Those for which there is no room on any day that they are open to count on their day alone.
    """
    # By their last days too: where a day is too full whatever is done, what is late must still find room.
    return max(_count_overflow(fleet, today, budget, attrgetter(end)) for end in ("due", "latest"))


def _count_overflow(fleet: RenewalCounts, today: int, budget: int, end: Callable[[DayWindow], int]) -> int:
    """Fill the days after `today`, the farthest first, and give what no room is left for.

    A day takes first what is ripe last, since that has the fewest days before: the rule of the earliest deadline
    (Glover 1967), run backward, which finds room for as many as can have it.
    """
    ending: dict[int, list[list[int]]] = defaultdict(list)
    for each, count in fleet.items():
        ending[max(today, end(each))].append([-each.earliest, count])
    open_to: list[list[int]] = []
    for day in range(max(ending, default=today), today, -1):
        for group in ending.get(day, ()):
            heappush(open_to, group)
        room = budget
        while open_to and room:
            taken = min(room, open_to[0][1])
            room -= taken
            open_to[0][1] -= taken
            if not open_to[0][1]:
                heappop(open_to)
        while open_to and -open_to[0][0] >= day:
            heappop(open_to)
    return sum(count for _, count in open_to + ending.get(today, []))


def pick_renewals(
    fleet: RenewalCounts, today: int, budget: int | None, made: int = 0
) -> dict[DayWindow, int]:
    """Give what is renewed on `today`, of which `made` are made already: how many of each window.

    Without a budget that is what falls due; with one, what `owed` says, at most the budget, the nearest expiry first.
    What would expire before the end of tomorrow is renewed whatever the budget is.
    """
    if budget is None:
        return {each: count for each, count in fleet.items() if each.due <= today}
    pressing = sum(count for each, count in fleet.items() if each.latest <= today)
    number = max(pressing, min(budget - made, count_needed_today(fleet, today, budget)))
    return _most_urgent(fleet, today, number)


def _most_urgent(fleet: RenewalCounts, today: int, number: int) -> dict[DayWindow, int]:
    """Give the `number` renewals that come first: what is due, then what may be early, each by its expiry."""
    taken = {}
    for each in sorted((w for w in fleet if w.earliest <= today), key=lambda w: (w.due > today, w)):
        if not number:
            break
        taken[each] = min(number, fleet[each])
        number -= taken[each]
    return taken


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Under which conditions days are played forward.

    `budget` renewals a day are what spreading aims at, None for no spreading; `capacity` is what a day can do at
    most, come what may. `new_a_day` is how many new domains the CA takes in. `lifetime` gives that of a certificate
    issued on a day, from that of the one it replaces, None for a new domain's.
    """

    before: timedelta
    lifetime: Callable[[int, timedelta | None], timedelta]
    budget: int | None = None
    capacity: int | None = None
    new_a_day: int | None = None


@dataclass(frozen=True, slots=True)
class Day:
    """What one day brings.

    `renewals` are made, `early` of them before their day; `late` were due and wait for a later day. `new` domains are
    taken in while `waiting` more are not yet. `expired` ran out for want of a renewal.
    """

    day: int
    renewals: int
    early: int
    late: int
    new: int
    waiting: int
    expired: int

    @property
    def orders(self) -> int:
        """All that the CA is asked for."""
        return self.renewals + self.new


def simulate(
    fleet: RenewalCounts,
    first: int,
    assumptions: Assumptions,
    arrivals: Callable[[int], int],
    *,
    made: int = 0,
) -> Iterator[Day]:
    """Play the days from `first` on, without end; `arrivals` gives how many new domains a day brings.

    Every renewal succeeds, and a certificate is issued at the beginning of its day. On the first day `made` renewals
    are made already; it counts those to come.
    """
    held = Counter(fleet)
    waiting, day = 0, first
    while True:
        expired = sum(count for each, count in held.items() if each.latest == day - 1)
        renewed = pick_renewals(held, day, assumptions.budget, made if day == first else 0)
        if assumptions.capacity is not None:
            renewed = _most_urgent(renewed, day, assumptions.capacity)
        waiting += arrivals(day)
        new = waiting if assumptions.new_a_day is None else min(waiting, assumptions.new_a_day)
        waiting -= new
        held -= Counter(renewed)
        issued = Counter({assumptions.lifetime(day, None): new})
        for each, count in renewed.items():
            issued[assumptions.lifetime(day, each.lifetime)] += count
        late = sum(count for each, count in held.items() if each.due <= day)
        for lifetime, count in (+issued).items():
            held[day_window(start_of(day) + lifetime, lifetime, assumptions.before)] += count
        early = sum(count for each, count in renewed.items() if each.due > day)
        yield Day(day, sum(renewed.values()), early, late, new, waiting, expired)
        day += 1
