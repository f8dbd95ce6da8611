"""How many renewals fall on which day, and how many are made earlier so that no day has too many.

These are pure functions over counts: certificates with the same days are counted together, so a million of them cost as
little as a hundred. A day is a day in Singapore, as its `date.toordinal`.
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
    """The days on which a renewal may be made.

    It is due on `due`. From `earliest` it may be made early, because half of the certificate's `lifetime` has passed. On
    `latest`, the day before the expiry, it is made without regard to the budget.
    """

    latest: int
    due: int
    earliest: int
    lifetime: timedelta


RenewalCounts = Mapping[DayWindow, int]
"""The number of certificates for each window."""


def day_of(at: datetime) -> int:
    """Return the day of `at` in Singapore."""
    return at.astimezone(SGT).toordinal()


def start_of(day: int) -> datetime:
    """Return 00:00 in Singapore of `day`."""
    return datetime.combine(date.fromordinal(day), time(), SGT)


def day_window(expires_at: datetime, lifetime: timedelta, before: timedelta) -> DayWindow:
    """Return the window of a certificate that expires within the hour from `expires_at` on.

    `before` is `renewal.before_days`. Ticks may be hourly, so a renewal that falls due in the last hour of a day belongs to the
    next day.
    """
    due = day_of(expires_at - renewal_margin(lifetime, before) + _HOUR)
    earliest = day_of(expires_at - lifetime / 2 + _DAY - timedelta.resolution)
    return DayWindow(max(day_of(expires_at) - 1, due), due, min(earliest, due), lifetime)


def due_after(day: int, before: timedelta) -> datetime:
    """Return the first expiry whose renewal is due after `day`, for lifetimes of at least twice `before`."""
    return start_of(day + 1) + before - _HOUR


def count_needed_today(fleet: RenewalCounts, today: int, budget: int) -> int:
    """Return how many renewals of `fleet` must be made by the end of `today`, so that no later day needs more than `budget`.

    Renewals that are due by `today` count without regard to the budget. The rest is moved forward from later days: as few
    as possible, and as late as possible. A renewal that fits on none of its days counts on the day on which it is due.
    """
    # Also by their latest days: if a day is overfull in any case, the renewals that become late must still fit.
    return max(_count_overflow(fleet, today, budget, attrgetter(end)) for end in ("due", "latest"))


def _count_overflow(fleet: RenewalCounts, today: int, budget: int, end: Callable[[DayWindow], int]) -> int:
    """Fill the days after `today`, the farthest first, and return how many renewals do not fit.

    A day takes first the renewals with the latest `earliest` day, because they have the fewest days left. This is the
    earliest-deadline-first rule (Glover 1967) run backward. It places as many renewals as possible.
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
    """Return how many certificates of each window are renewed on `today`, if `made` renewals are made already.

    Without a budget those are the renewals that are due. With a budget it is the number of `count_needed_today`, at most
    the budget, the nearest expiry first. Certificates that would expire before the end of tomorrow are renewed without
    regard to the budget.
    """
    if budget is None:
        return {each: count for each, count in fleet.items() if each.due <= today}
    pressing = sum(count for each, count in fleet.items() if each.latest <= today)
    number = max(pressing, min(budget - made, count_needed_today(fleet, today, budget)))
    return _most_urgent(fleet, today, number)


def _most_urgent(fleet: RenewalCounts, today: int, number: int) -> dict[DayWindow, int]:
    """Return the `number` most urgent renewals: first those that are due, then early ones, each by expiry."""
    taken = {}
    for each in sorted((w for w in fleet if w.earliest <= today), key=lambda w: (w.due > today, w)):
        if not number:
            break
        taken[each] = min(number, fleet[each])
        number -= taken[each]
    return taken


@dataclass(frozen=True, slots=True)
class Assumptions:
    """The assumptions of a simulation.

    `budget` is the number of renewals a day at which spreading aims, None for no spreading. `capacity` is the highest
    number of renewals that a day can make. `new_a_day` is the number of new domains a day that the CA accepts. `lifetime`
    returns the lifetime of a certificate from the day of its issuance and the lifetime of the certificate that it replaces,
    None for a new domain.
    """

    before: timedelta
    lifetime: Callable[[int, timedelta | None], timedelta]
    budget: int | None = None
    capacity: int | None = None
    new_a_day: int | None = None


@dataclass(frozen=True, slots=True)
class Day:
    """The numbers of one simulated day.

    `renewals` were made, `early` of them before their due day. `late` were due and wait for a later day. `new` domains got
    their first certificate and `waiting` domains have none yet. `expired` certificates were not renewed in time.
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
        """All orders of the day: renewals and new domains."""
        return self.renewals + self.new


def simulate(
    fleet: RenewalCounts,
    first: int,
    assumptions: Assumptions,
    arrivals: Callable[[int], int],
    *,
    made: int = 0,
) -> Iterator[Day]:
    """Yield the simulated days from `first` on, without end. `arrivals` returns the number of new domains of a day.

    Every renewal succeeds, and a certificate is issued at the beginning of its day. On the first day `made` renewals are
    made already; only the others are counted.
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
