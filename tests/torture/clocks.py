"""Faults of the clock: jumps, standstill, another year, and other time zones of the process.

A fleet with the fake CA and the reference C4 in this process; a few cases use real processes under faketime. The
expected days are computed from seconds since 1970, without time zones.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo, available_timezones

from sslctl.errors import Exit
from tests.support.cdn import Cdn, Result
from tests.support.fakes import START, Clock
from tests.torture.case import Case
from tests.torture.invariants import Outside, violations

TITLE = "Time"
TARGET = "no storm of orders; SGT days right"

_SECOND, _MINUTE, _DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
# Days until the renewal: a lifetime of 90 days without the last 7.
_LIFE = 83
_SGT = 8 * 3600
_TICK_ENDS = (Exit.OK, Exit.SOME_NOT_WELL)
_SMALL_ZONES = (
    "Asia/Singapore",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Pacific/Apia",
    "UTC",
)


def run(folder: Path, *, small: bool) -> Iterator[Case]:
    """Inject each fault of the clock, then change time zones."""
    for number, (fault, (do, apart)) in enumerate(_CASES.items()):
        with _Fleet(folder / str(number), well=4 if small else 36, failing=2, apart=apart) as fleet:
            do(fleet)
            yield fleet.case(fault)
    zones = _SMALL_ZONES if small else sorted(available_timezones())
    with _Fleet(folder / "zones", well=2 if small else 6, failing=2) as fleet:
        _edges(fleet, zones)
        yield fleet.case(f"changes of the UTC offset in {len(zones)} time zones")
    with _Fleet(folder / "midnights", well=2 if small else 6, failing=2) as fleet:
        _midnights(fleet, zones)
        yield fleet.case(f"midnight in Singapore in {len(zones)} time zones")
    if not small:
        with _Fleet(folder / "processes", well=4, failing=2) as fleet:
            _processes(fleet)
            yield fleet.case("real processes under faketime")


class _Fleet:
    """A CDN with healthy domains and some that point elsewhere; use as a context manager.

    With `apart` only sslctl's clock is wrong, and those of C4 and the CA are right.
    """

    def __init__(self, folder: Path, *, well: int, failing: int, apart: bool = False) -> None:
        folder.mkdir()
        self.clock, self.true = Clock(), Clock()
        self.cdn = Cdn(folder, self.clock, outside=self.true if apart else None)
        self.well = [f"well{number}.clock.test" for number in range(well)]
        self.failing = [f"failing{number}.clock.test" for number in range(failing)]
        self.found: list[str] = []
        self.days: set[int] = set()
        self.ticks = 0
        self.most_orders = 1
        self._outside = Outside(self.cdn.issuer.serials, self.orders, self.cdn.installed)

    def __enter__(self) -> Self:
        self.cdn.__enter__()
        for name in self.well:
            self.cdn.add_domain(name)
        for name in self.failing:
            self.cdn.add_domain(name, points_at="elsewhere.test")
        result = self.cdn.sslctl("add", "--no-wait", *self.well, *self.failing)
        assert result.exit_code == Exit.OK, result
        self.tick()
        self.check()
        return self

    def __exit__(self, *_: object) -> None:
        self.cdn.__exit__()

    def case(self, fault: str) -> Case:
        """Check the invariants and return the result."""
        self.check()
        orders = self.orders()
        most = max(orders.values(), default=0)
        return Case(fault, self.ticks, self.found, f"{orders.total()} orders, at most {most} a domain")

    def move(self, to: datetime) -> None:
        """Set sslctl's clock."""
        self.clock.at = to

    def expect(self, *, holds: bool, otherwise: str) -> None:
        """Record `otherwise` as a violation unless it holds."""
        if not holds:
            zone = f", TZ={os.environ['TZ']}" if "TZ" in os.environ else ""
            self.found.append(f"at {self.clock():%Y-%m-%dT%H:%M:%SZ}{zone}: {otherwise}")

    def tick(self) -> Result:
        """Run the tick, which must end with one of its exit codes."""
        self.ticks += 1
        self.days.add(_day(self.clock()))
        result = self.cdn.sslctl("daemon-tick")
        self.expect(
            holds=result.exit_code in _TICK_ENDS,
            otherwise=f"I8: the tick ended with {result.exit_code}: {result.stderr}",
        )
        return result

    def order_nothing(self, *times: datetime) -> None:
        """Run the tick at each of `times`; none may order anything."""
        before = self.orders().total()
        for at in times:
            self.move(at)
            self.tick()
            self.expect(
                holds=self.orders().total() == before,
                otherwise=f"{self.orders().total() - before} orders, none is due",
            )

    def order_once_each(self, *times: datetime) -> None:
        """Run the tick at each of `times`; together they must renew each healthy domain once."""
        before = self.orders()
        self.most_orders += 1
        for at in times:
            self.move(at)
            self.tick()
        now = self.orders() - before
        self.expect(holds=now == Counter(self.well), otherwise=f"renewed {dict(now)}, wanted once each")

    def looks(self, name: str) -> int:
        """Return how often C4 was asked for the record of `name`, which is once a pass for a domain in Failure."""
        return sum(each.path == f"/v1/domains/{name}" for each in self.cdn.c4.requests)

    def view(self, name: str) -> Any:
        """Return `name` as `view --json` prints it."""
        return self.cdn.sslctl("view", name, "--json").json["domain"]

    def orders(self) -> Counter[str]:
        """Return how many orders were placed, by name."""
        return self.cdn.issuer.orders_by_name()

    def check(self) -> None:
        """Record the invariants that do not hold."""
        self.found += violations(
            self.cdn.folder / "state",
            self._outside,
            self.clock(),
            most_orders=lambda _name: self.most_orders,
            healthy=self.well,
        )


def _day(at: datetime) -> int:
    """Return the day in Singapore, counted from 1970."""
    return (int(at.timestamp()) + _SGT) // 86_400


def _midnight(at: datetime) -> datetime:
    """Return the first midnight in Singapore after `at`."""
    return datetime.fromtimestamp((_day(at) + 1) * 86_400 - _SGT, UTC)


def _date(at: datetime) -> str:
    """Return the day in Singapore as YYYY-MM-DD."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=_day(at))).strftime("%Y-%m-%d")


# Faults of the clock


def _jitters(fleet: _Fleet) -> None:
    """A second forth and back, also around the moment when all renewals become due, and around midnight."""
    due = START + timedelta(days=_LIFE)
    steps = (0, 1, -1, 0, 1, -1, 2)
    fleet.order_nothing(*(START + step * _SECOND for step in steps))
    fleet.order_nothing(*(_midnight(START) + step * _SECOND for step in steps))
    fleet.order_nothing(due - _SECOND)
    fleet.order_once_each(*(due + step * _SECOND for step in steps))


def _jumps_a_day(fleet: _Fleet) -> None:
    """A day forth and back, across the moment when all renewals become due."""
    due = START + timedelta(days=_LIFE)
    fleet.order_nothing(due - _DAY / 2, due - _DAY, due - _DAY / 2)
    fleet.order_once_each(due + _DAY / 2, due - _DAY / 2, due + _DAY / 2, due - _DAY / 2)
    fleet.order_nothing(due + _DAY / 2, due + 2 * _DAY, due + _DAY)


def _back_to_the_past(fleet: _Fleet) -> None:
    """400 days back, for C4 and the CA too: certificates are not valid yet, and nothing becomes due."""
    past = START - 400 * _DAY
    before = fleet.looks(fleet.failing[0])
    fleet.order_nothing(past, past + _MINUTE, past + _DAY, past + 2 * _DAY)
    fleet.expect(
        holds=fleet.looks(fleet.failing[0]) >= before + 3,
        otherwise="domains in Failure are not rechecked any more",
    )
    for command in (("list",), ("list", "--csv"), ("forecast",), ("view", fleet.well[0])):
        result = fleet.cdn.sslctl(*command)
        fleet.expect(
            holds=result.exit_code == Exit.OK, otherwise=f"`{command[0]}` ended with {result.exit_code}"
        )
    fleet.order_nothing(START, START + _DAY)


def _alone_in_the_past(fleet: _Fleet) -> None:
    """400 days back, only for sslctl: what the CA issues is not valid yet."""
    _alone(fleet, -400 * _DAY)


def _alone_in_the_future(fleet: _Fleet) -> None:
    """400 days ahead, only for sslctl: everything has expired, also what the CA issues."""
    fleet.most_orders += 1
    _alone(fleet, 400 * _DAY)


def _alone(fleet: _Fleet, wrong: timedelta) -> None:
    fleet.move(START + wrong)
    fleet.cdn.add_domain("new.clock.test")
    result = fleet.cdn.sslctl("add", "new.clock.test")
    fleet.expect(
        holds=result.exit_code == Exit.PENDING and "clock" in result.stdout,
        otherwise=f"add ended with {result.exit_code}: {result.stdout}",
    )
    # After two days an order is given up whose certificate is not valid by our clock, and another one is placed.
    for after in (0, 1, 10, 100, 1440, 2870):
        fleet.move(START + wrong + after * _MINUTE)
        fleet.tick()
    spent = fleet.orders()
    fleet.well.append("new.clock.test")
    fleet.move(START + _MINUTE)
    fleet.true.at = fleet.clock()
    fleet.tick()
    fleet.expect(
        holds=fleet.orders() == spent,
        otherwise=f"{(fleet.orders() - spent).total()} orders after the clock was corrected",
    )
    fleet.expect(
        holds=max(spent.values()) <= fleet.most_orders,
        otherwise=f"{max(spent.values())} orders a domain while the clock was wrong",
    )
    fleet.order_nothing(START + 2 * _MINUTE, START + _DAY)


def _far_ahead(fleet: _Fleet) -> None:
    """Past the limits of signed 32 bits, of UTCTime in certificates, and of unsigned 32 bits."""
    for at in (
        datetime(2038, 1, 19, 3, 14, 7, tzinfo=UTC),
        datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2106, 2, 7, 6, 28, 15, tzinfo=UTC),
    ):
        fleet.order_once_each(at, at + _SECOND, at, at + 2 * _SECOND)
        serving = fleet.view(fleet.well[0])["serving"]
        fleet.expect(
            holds=serving["expires_at"][:4] == f"{at + 90 * _DAY:%Y}" and serving["valid"],
            otherwise=f"it serves {serving}",
        )
        fleet.expect(
            holds=fleet.view(fleet.failing[0])["reason"]["retry_at"] == f"{_midnight(at):%Y-%m-%dT%H:%M:%SZ}",
            otherwise="a domain in Failure is not retried at midnight",
        )


def _leaps(fleet: _Fleet) -> None:
    """A leap second as clocks show it, the second before midnight UTC or Singapore time twice; and a clock that stands still."""
    for second in (_midnight(START) - _SECOND, datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)):
        shown = (
            second - _SECOND,
            second,
            second,
            second + _SECOND,
            second,
            second + _SECOND,
            second + _SECOND,
        )
        fleet.order_nothing(*shown)
    _expect_daily_looks(fleet)


_CASES: dict[str, tuple[Callable[[_Fleet], None], bool]] = {
    "±1 s": (_jitters, False),
    "±1 d": (_jumps_a_day, False),
    "-400 d": (_back_to_the_past, False),
    "-400 d, only for sslctl": (_alone_in_the_past, True),
    "+400 d, only for sslctl": (_alone_in_the_future, True),
    "past 2038, 2050 and 2106": (_far_ahead, False),
    "a repeated leap second, a clock that stands still": (_leaps, False),
}


# Time zones


@contextmanager
def _time_zone(zone: str) -> Iterator[None]:
    """Set the time zone of this process to `zone` within the block."""
    os.environ["TZ"] = zone
    time.tzset()
    try:
        yield
    finally:
        del os.environ["TZ"]
        time.tzset()


def _edges(fleet: _Fleet, zones: Sequence[str]) -> None:
    """Run the tick at each change of each zone's offset in the coming year, and a second before and after."""
    edges = sorted((at, zone) for zone in zones for at in _changes(zone, START, START + 365 * _DAY))
    for at, zone in edges:
        with _time_zone(zone):
            for step in (-_SECOND, timedelta(), _SECOND):
                fleet.move(at + step)
                fleet.tick()
            _expect_singapore(fleet)
    _expect_renewals(fleet)
    _expect_daily_looks(fleet)


def _midnights(fleet: _Fleet, zones: Sequence[str]) -> None:
    """Run the tick around midnight in Singapore, each day in another zone."""
    for zone in zones:
        at = _midnight(fleet.clock())
        with _time_zone(zone):
            for step in (-_SECOND, timedelta()):
                fleet.move(at + step)
                fleet.tick()
            _expect_singapore(fleet)
    _expect_renewals(fleet)
    _expect_daily_looks(fleet)


def _changes(zone: str, start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the moments between `start` and `end` when the UTC offset of `zone` changes, to the second."""
    known = ZoneInfo(zone)

    def offset(at: datetime) -> timedelta | None:
        return at.astimezone(known).utcoffset()

    while start < end:
        after = start + _DAY
        if offset(start) != offset(after):
            before, then = start, after
            while then - before > _SECOND:
                middle = before + timedelta(seconds=(then - before).total_seconds() // 2)
                before, then = (middle, then) if offset(middle) == offset(start) else (before, middle)
            yield then
        start = after


def _expect_singapore(fleet: _Fleet) -> None:
    """Check that output and plans use days in Singapore."""
    now = fleet.clock()
    shown = fleet.cdn.sslctl("daemon-tick", "--dry-run").stdout
    fleet.expect(
        holds=f"{_date(now)} " in shown, otherwise=f"the day is {_date(now)} in Singapore, not {shown[:16]}"
    )
    reason = fleet.view(fleet.failing[0])["reason"]
    fleet.expect(
        holds=reason["retry_at"] == f"{_midnight(now):%Y-%m-%dT%H:%M:%SZ}",
        otherwise=f"a domain in Failure is retried at {reason['retry_at']} instead of {_midnight(now)}",
    )
    row = next(line for line in fleet.cdn.sslctl("list").stdout.splitlines() if fleet.well[0] in line)
    fleet.expect(holds=_date(START) in row, otherwise=f"it was created on {_date(START)} in Singapore: {row}")


def _expect_renewals(fleet: _Fleet) -> None:
    """Check that no domain was renewed more often than it became due."""
    fleet.most_orders = 1 + (fleet.clock() - START).days // _LIFE
    fleet.move(fleet.clock() + _MINUTE)
    fleet.tick()


def _expect_daily_looks(fleet: _Fleet) -> None:
    """Check that each domain in Failure was rechecked once on every day in Singapore with a tick."""
    for name in fleet.failing:
        fleet.expect(
            holds=fleet.looks(name) == len(fleet.days),
            otherwise=f"{name} was rechecked {fleet.looks(name)} times on {len(fleet.days)} days",
        )


# Real processes


def _processes(fleet: _Fleet) -> None:
    """Run `list` and the tick's dry run at other times, in other time zones."""
    faketime = shutil.which("faketime")
    fleet.expect(holds=faketime is not None, otherwise="faketime is not installed")
    if faketime is None:
        return
    for at, due in (
        (START, 0),
        (START - 400 * _DAY, 0),
        (START + timedelta(days=_LIFE), 4),
        (datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC), 4),
        (datetime(2106, 2, 7, 6, 28, 16, tzinfo=UTC), 4),
    ):
        fleet.move(at)
        for zone in ("UTC", "Asia/Singapore", "America/New_York", "Pacific/Kiritimati"):
            planned = _process(fleet, faketime, at, zone, "daemon-tick", "--dry-run", "--json")
            renewals = [each for each in planned["planned"] if each["work"] == "renew"]
            fleet.expect(
                holds=len(renewals) == due, otherwise=f"{len(renewals)} renewals planned, {due} are due"
            )
            began = datetime.fromisoformat(planned["at"])
            fleet.expect(holds=at <= began < at + _MINUTE, otherwise=f"the process has {planned['at']}")
            listed = _process(fleet, faketime, at, zone, "list", "--json")["domains"]
            expired = Counter(domain["status"] for domain in listed)["Expired"]
            wanted = 4 if at >= START + 90 * _DAY else 0
            fleet.expect(holds=expired == wanted, otherwise=f"{expired} have expired, {wanted} have")
    fleet.move(START)


def _process(fleet: _Fleet, faketime: str, at: datetime, zone: str, *arguments: str) -> Any:
    fleet.ticks += 1
    # faketime reads its time in the time zone of the process.
    local = at.astimezone(ZoneInfo(zone))
    done = subprocess.run(
        [
            *("env", f"TZ={zone}", faketime, "-f", f"@{local:%Y-%m-%d %H:%M:%S}"),
            *(sys.executable, "-m", "sslctl", "--config", str(fleet.cdn.config_path), *arguments),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    fleet.expect(
        holds=done.returncode == Exit.OK,
        otherwise=f"{zone}: `{arguments[0]}` ended with {done.returncode}: {done.stderr}",
    )
    return (
        json.loads(done.stdout)
        if done.returncode == Exit.OK
        else {"planned": [], "at": "1970-01-01T00:00:00Z", "domains": []}
    )
