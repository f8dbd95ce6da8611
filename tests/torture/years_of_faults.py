"""Two years of a fleet, in which each fault that can make things worse is injected once, at a random time.

The tick, its looks, the passes, the notices and the store are real; C4, the CA, DNS and the chat are in memory, and the clock is
moved. A tick runs at 00:00 SGT, and every hour from the beginning of each fault until a day after its end. Customers have
troubles of their own with DNS, leave the CDN, and replace text certificates late; nobody acts because of a message. A site may
be dark, but not without a message in time: when its renewal margin began, or as soon as the cause existed if less was left.

`TORTURE_SEED=NUMBER` repeats the two years of a seed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from tests.support import fast_folder
from tests.torture.case import Case, describe_exit_codes
from tests.torture.years_faults import FAULTS, Fault, Injected
from tests.torture.years_fleet import Fleet, Sizes
from tests.torture.years_heard import Cause, Loss
from tests.torture.years_world import World

TITLE = "Two years, and each fault once"
TARGET = "0 sites dark without a message when the renewal margin began; losses on C4 healed and reported within a day"

_WHOLE = Sizes(
    datetime(2026, 11, 30, 16, tzinfo=UTC), domains=2000, days=731, joining=60, step=timedelta(hours=1)
)
# With the shortest lifetimes more happens in a short time.
_SMALL = Sizes(
    datetime(2028, 2, 29, 16, tzinfo=UTC), domains=60, days=150, joining=38, step=timedelta(hours=3)
)
_IN_SMALL = (
    "C4 is down",
    "the CA is down",
    "DNS: NXDOMAIN",
    "C4 loses",
    "C4 knows no domain, 12",
    "429",
    "the database is lost",
)
_DAY = timedelta(days=1)
_AFTERMATH = _DAY


def run(folder: Path, *, small: bool) -> Iterator[Case]:
    """Simulate two years of 2,000 domains, or 150 days of 60 with some of the faults."""
    sizes = _SMALL if small else _WHOLE
    seed = int(os.environ.get("TORTURE_SEED", "13"))
    faults = [fault for fault in FAULTS if not small or fault.what.startswith(_IN_SMALL)]
    with fast_folder("years", folder) as place, World(place, sizes.start, sizes.step) as world:
        yield from _Simulation(world, Random(seed), sizes, faults).run(seed)


class _Simulation:
    def __init__(self, world: World, random: Random, sizes: Sizes, faults: list[Fault]) -> None:
        self._world = world
        self._random = random
        self._sizes = sizes
        self._faults = faults
        self._fleet = Fleet(world, random, sizes)
        self._injected = Injected(world, self._fleet, random)
        self._causes: dict[str, Cause] = {}

    def run(self, seed: int) -> Iterator[Case]:
        """Simulate, and yield one case for each fault and one for everything."""
        self._fleet.plan()
        for fault in self._faults:
            self._plan(fault)
        for day in range(0, self._sizes.days, 20):
            self._world.at(self._sizes.start + day * _DAY + timedelta(hours=12), self._world.back_up)
        for _ in self._world.live(self._sizes.start + self._sizes.days * _DAY):
            pass
        heard = self._world.heard
        for fault in self._faults:
            cause = self._causes[fault.what]
            dark = sum(cause in heard.of_dark(each) for each in self._world.edge.dark)
            end = (cause.end or self._world.clock()) + _AFTERMATH
            messages = sum(cause.begin <= each.at <= end for each in heard.messages)
            yield Case(
                fault.what, 1, (), f"from {cause.begin:%Y-%m-%d} on: {dark} sites dark, {messages} messages"
            )
        violations = [*self._world.violations, *heard.violations(), *heard.silent_failures()]
        everything = f"{self._sizes.domains:,} domains, {self._sizes.days} days, {len(self._faults)} faults"
        yield Case(everything, len(heard.ticks), violations, self._describe(seed))

    def _plan(self, fault: Fault) -> None:
        first, last = self._sizes.joining + 1, self._sizes.days - fault.hours / 24 - 10
        begin = self._sizes.start + timedelta(minutes=round(self._random.uniform(first * 1440, last * 1440)))
        end = begin + timedelta(hours=fault.hours)
        world = self._world
        lasts_until = begin + timedelta(hours=fault.hours if fault.lasts is None else fault.lasts)
        cause = self._causes[fault.what] = Cause(fault.what, frozenset(fault.codes), None, begin, lasts_until)

        def inject() -> None:
            cause.names = fault.names(self._injected)
            world.heard.causes.append(cause)
            world.run_often(end + _AFTERMATH)
            world.at(end, fault.inject(self._injected))

        world.at(begin, inject)

    def _describe(self, seed: int) -> str:
        heard, dark, days = self._world.heard, self._world.edge.dark, self._world.heard.days()
        sites = len({each.name for each in dark})
        losses: list[Loss] = heard.losses
        longest = max((each.lines for each in heard.messages), default=0)
        return (
            f"seed {seed}; {len(self._world.ca.orders):,} orders; {sites} sites dark, {len(dark)} times;"
            f" {sum(days.values())} messages on {len(days)} days, at most {max(days.values(), default=0)} a day,"
            f" the longest of {longest} lines;"
            f" {len(losses)} losses on C4, {sum(each.healed_at is not None for each in losses)} healed,"
            f" {sum(each.notified for each in losses)} in a message;"
            f" {describe_exit_codes(self._world.codes)}"
        )
