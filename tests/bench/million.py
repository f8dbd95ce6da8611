"""1,000,000 domains: what is read over all of them, against 100,000; and the pages."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from sslctl.rules.model import Milestone
from sslctl.rules.reasons import Code
from tests.bench.fleet import Fleet
from tests.bench.listing_server import ListingServer
from tests.bench.meter import Cost, Failed
from tests.bench.mixed_fleet import CUSTOMER, list_addresses, mix, shuffled_names
from tests.bench.page_server import PageServer
from tests.bench.program import Sslctl, unserved
from tests.bench.report import MIB, Part, Row, Table, number, under
from tests.support.suite import Progress

# A store so small that only the start of the program takes time.
_TINY = 100
_WANTED_GROWTH = 1.1
_WANTED_PAGE_SECONDS = 1.0
_WANTED_LOOK_MEBIBYTES = 600
_TICK = "a tick with nothing due"
_LOOK = "the daily look by C4's inventory"
_COMPARISON = "the daily comparison with C4's inventory"
_COMMANDS = {
    "the first page of `list`": ("list", "--limit", "50"),
    "`list` by status": ("list", "--status", "failure", "--limit", "50"),
    "`list` by reason": ("list", "--reason", Code.CNAME_ELSEWHERE, "--limit", "50"),
    "`list` by warning": ("list", "--warning", Code.CNAME_ELSEWHERE, "--limit", "50"),
    "`list` by owner": ("list", "--owner", "customer", "--limit", "50"),
    "`list` by customer": ("list", "--customer", "Customer 7", "--limit", "50"),
    "`list` by a part of the name": ("list", "www.*[1-3]7.example", "--limit", "50"),
    "`list` by expiry": ("list", "--expiring-within", "7d", "--limit", "50"),
    "`list --json` into a file": ("list", "--json"),
    "`todo`": ("todo",),
    "`metrics`": ("metrics",),
    "`forecast`": ("forecast",),
}

_ALL = (_TICK, _LOOK, _COMPARISON, *_COMMANDS)
_LONG_AGO = "2020-01-01T00:00:00Z"
_COMPARED = "SELECT 1 FROM milestone WHERE name = ? AND detail = ''"
# The others are not due: each is tried again within a day.
_UNSEEN = "SELECT 1 FROM domain WHERE observed_at = ? AND retry_at IS NULL"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured; the rows are about the last two of `counts`."""

    repetitions: int = 3
    looks: int = 1
    counts: tuple[int, ...] = (_TINY, 100_000, 1_000_000)


@dataclass(slots=True)
class _Grown:
    """The seconds of each command and page, and the bytes of each command, by the number of domains."""

    seconds: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    bytes: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    pages: list[str] = field(default_factory=list)

    def add(self, what: str, count: int, cost: Cost) -> None:
        self.seconds.setdefault((what, count), []).append(cost.wall)
        self.bytes.setdefault((what, count), []).append(float(cost.largest_rss))

    def time(self, what: str, count: int) -> float:
        return median(self.seconds[what, count])

    def growth(self, what: str, start: int, before: int, last: int) -> float:
        """Return the time at `last` against what is linear from `before` on; at `start` only the start takes time."""
        fixed = self.time(what, start)
        # Below 10 ms the difference is noise.
        linear = fixed + last / before * max(self.time(what, before) - fixed, 0.01)
        return self.time(what, last) / linear


def measure(folder: Path, sizes: Sizes, progress: Progress) -> Part:
    """Measure at each of the counts."""
    grown = _Grown()
    for count in sizes.counts:
        with TemporaryDirectory(dir=folder) as own:
            progress(f"making a store of {count:,} domains")
            sslctl = unserved(Path(own))
            many = shuffled_names(count, "page")
            Fleet(sslctl).fill(many, Fleet.settled)
            progress(f"{count:,} domains: ticks, commands, pages")
            # The first one begins the audit chain, and records the numbers of the day.
            sslctl.run("daemon-tick", "--quiet")
            for _ in range(sizes.repetitions):
                grown.add(_TICK, count, sslctl.run("daemon-tick", "--quiet"))
            for what, cost in _look(sslctl, sizes.looks):
                grown.add(what, count, cost)
            mix(sslctl)
            sslctl.run("list", "--limit", "1")
            for what, cost in _run_each(sslctl, sizes.repetitions):
                grown.add(what, count, cost)
            _read_pages(sslctl, many, count, sizes.repetitions, grown)
    return Part(_rows(grown, sizes), _tables(grown, sizes))


def _look(sslctl: Sslctl, repetitions: int) -> Iterator[tuple[str, Cost]]:
    """Run ticks that look at all domains by C4's list, and ticks that compare this list with what is managed."""
    with closing(sqlite3.connect(sslctl.state / "sslctl.db", isolation_level=None)) as connection:
        ask = connection.execute
        # A usual night: the customers are known.
        ask(f"UPDATE domain SET customer = {CUSTOMER}")  # noqa: S608 - ours
        with ListingServer(sslctl.state / "sslctl.db") as c4:
            listed = sslctl.with_settings(c4_base_url=c4.url)
            for _ in range(repetitions):
                ask("UPDATE domain SET observed_at = ?", (_LONG_AGO,))
                yield _LOOK, listed.run("daemon-tick", "--quiet")
                if ask(_UNSEEN, (_LONG_AGO,)).fetchone():
                    raise Failed("the look did not come to all domains")
                ask("DELETE FROM milestone WHERE name = ?", (Milestone.INVENTORY,))
                yield _COMPARISON, listed.run("daemon-tick", "--quiet")
                if ask(_COMPARED, (Milestone.INVENTORY,)).fetchone() is None:
                    raise Failed("C4's list was not compared")


def _run_each(sslctl: Sslctl, repetitions: int) -> Iterator[tuple[str, Cost]]:
    for _ in range(repetitions):
        for what, arguments in _COMMANDS.items():
            yield what, sslctl.run(*arguments)


def _read_pages(sslctl: Sslctl, many: list[str], count: int, repetitions: int, grown: _Grown) -> None:
    addresses = list_addresses(many)
    grown.pages = list(addresses)
    with PageServer(sslctl) as server, closing(server.enter(1)[0]) as client:
        # The first page makes the templates. That of the list would be given again for a moment.
        client.get("/add")
        for _ in range(repetitions):
            for what, address in addresses.items():
                answer = client.get(address)
                if answer.status != 200:
                    raise Failed(f"{what}: {answer.status}\n{answer.text}")
                grown.seconds.setdefault((what, count), []).append(answer.seconds)
        grown.bytes["the page", count] = [float(server.largest_rss())]


def _rows(grown: _Grown, sizes: Sizes) -> list[Row]:
    start, *_, before, last = sizes.counts
    rows = []
    for what in _ALL:
        label = f"{what[0].upper()}{what[1:]}: time from {before:,} to {last:,} domains, against linear"
        note = f"{number(grown.time(what, last))} s"
        rows.append(under(label, _WANTED_GROWTH, "times", [grown.growth(what, start, before, last)], note))
    for what in (_LOOK, _COMPARISON):
        label = f"{what[0].upper()}{what[1:]}, of {last:,} domains: memory"
        sizes_of = [size / MIB for size in grown.bytes[what, last]]
        rows.append(under(label, _WANTED_LOOK_MEBIBYTES, "MiB", sizes_of))
    slowest = max(grown.pages, key=lambda what: grown.time(what, last))
    steepest = max(grown.pages, key=lambda what: grown.growth(what, start, before, last))
    growth = grown.growth(steepest, start, before, last)
    label = f"The slowest of {len(grown.pages)} pages of the list of {last:,} domains"
    rows.append(under(label, _WANTED_PAGE_SECONDS, "s", [grown.time(slowest, last)], slowest))
    label = f"The pages of the list from {before:,} to {last:,} domains, against linear"
    rows.append(under(label, _WANTED_GROWTH, "times", [growth], f"most: {steepest}"))
    return rows


def _tables(grown: _Grown, sizes: Sizes) -> list[Table]:
    _, *_, before, last = sizes.counts
    commands = [
        (
            what,
            *(number(grown.time(what, count)) for count in (before, last)),
            *(number(median(grown.bytes[what, count]) / MIB) for count in (before, last)),
        )
        for what in _ALL
    ]
    pages = [
        (what, *(number(grown.time(what, count)) for count in (before, last)))
        for what in sorted(grown.pages, key=lambda what: -grown.time(what, last))
    ]
    sizes_of = tuple(f"{count:,}, {unit}" for unit in ("s", "MiB") for count in (before, last))
    return [
        Table("Commands by the number of domains", ("command", *sizes_of), commands),
        Table("Pages by the number of domains", ("page", *sizes_of[:2]), pages),
    ]
