"""Years of history, in SQLite and in PostgreSQL: what people and ticks read, what reads all of it, and `history prune` beside ticks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.bench.aged_state import History, name_of
from tests.bench.aged_stores import STORES, Aged
from tests.bench.meter import Cost, Failed
from tests.bench.page_server import PageServer
from tests.bench.program import Sslctl
from tests.bench.report import MIB, Part, Row, Table, number, under
from tests.support.suite import Progress

_USABLE_SECONDS = 1.0
_WANTED_GROWTH = 1.1
_WANTED_MIB = 150
_WANTED_TICK_SECONDS = 5.0
_DAYS_A_YEAR = 365
_KEPT = ("--keep-days", "180", "--yes")
_TICK = "a tick with nothing due"
_VERIFY, _BACKUP, _PRUNE = "`audit verify`", "`backup`", "`history prune`"
_TICK_BESIDE = "the longest tick beside `history prune`"
_COMMANDS = {
    _TICK: ("daemon-tick", "--quiet"),
    "the first page of `list`": ("list", "--limit", "50"),
    "`view NAME`": ("view", name_of(1)),
    "`todo`": ("todo",),
}
_PAGES = {"page: the list": "/", "page: a domain": f"/domains/{name_of(1)}"}


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured. Of 100,000 domains the last of `years` would be 3 million versions and 30 million events."""

    repetitions: int = 3
    domains: int = 10_000
    years: tuple[float, float] = (1, 5)


@dataclass(slots=True)
class _Measured:
    """The seconds and the bytes of each operation, by its store and the years; and how much history there was."""

    seconds: dict[tuple[str, str, float], list[float]] = field(default_factory=dict)
    bytes: dict[tuple[str, str, float], list[float]] = field(default_factory=dict)
    aged: dict[tuple[str, float], Aged] = field(default_factory=dict)
    pruned: dict[tuple[str, float], int] = field(default_factory=dict)

    def add(self, what: str, where: tuple[str, float], cost: Cost) -> None:
        self.add_seconds(what, where, cost.wall)
        self.bytes.setdefault((what, *where), []).append(float(cost.largest_rss))

    def add_seconds(self, what: str, where: tuple[str, float], seconds: float) -> None:
        self.seconds.setdefault((what, *where), []).append(seconds)

    def time(self, what: str, store: str, years: float) -> float:
        return median(self.seconds[what, store, years])

    def memory(self, what: str, store: str, years: float) -> float:
        return median(self.bytes[what, store, years]) / MIB


def measure(folder: Path, sizes: Sizes, progress: Progress) -> Part:
    """Measure in both stores with the history of both lengths."""
    measured = _Measured()
    for store, made in STORES.items():
        for years in sizes.years:
            with TemporaryDirectory(dir=folder) as own:
                progress(f"{store}: making {years:g} years of {sizes.domains:,} domains")
                with made(Path(own), History(sizes.domains, round(years * _DAYS_A_YEAR))) as aged:
                    measured.aged[store, years] = aged
                    progress(f"{store}: {aged.events:,} events: commands and pages")
                    _read(aged, (store, years), sizes.repetitions, measured)
                    progress(f"{store}: {aged.events:,} events: all of the history")
                    _read_all(aged, (store, years), measured)
    return Part(list(_rows(measured, sizes)), [_history(measured), *_tables(measured, sizes)])


def _read(aged: Aged, where: tuple[str, float], repetitions: int, measured: _Measured) -> None:
    sslctl = aged.sslctl
    # The first tick records the numbers of the day.
    sslctl.run("daemon-tick", "--quiet")
    for _ in range(repetitions):
        for what, arguments in _COMMANDS.items():
            measured.add(what, where, sslctl.run(*arguments))
    with PageServer(sslctl) as server, closing(server.enter(1)[0]) as client:
        # The first page makes the templates.
        client.get("/add")
        for _ in range(repetitions):
            for what, address in _PAGES.items():
                answer = client.get(address)
                if answer.status != 200:
                    raise Failed(f"{what}: {answer.status}\n{answer.text}")
                measured.add_seconds(what, where, answer.seconds)


def _read_all(aged: Aged, where: tuple[str, float], measured: _Measured) -> None:
    sslctl = aged.sslctl
    measured.add(_VERIFY, where, sslctl.run("audit", "verify"))
    if where[0] == "SQLite":
        copy = sslctl.state.parent / "backup.db"
        measured.add(_BACKUP, where, sslctl.run("backup", str(copy)))
        copy.unlink()
    ticks, cost = _prune_beside_ticks(sslctl)
    measured.add(_PRUNE, where, cost)
    measured.add_seconds(_TICK_BESIDE, where, max(ticks))
    archives = sslctl.ask("history", "list")["archives"]
    measured.pruned[where] = sum(archive["events"] for archive in archives)
    sslctl.run("audit", "verify", "--archive", str(sslctl.state / "archive"))


def _prune_beside_ticks(sslctl: Sslctl) -> tuple[list[float], Cost]:
    """Return the seconds of each tick meanwhile, and what `history prune` took."""
    ticks = []
    with ThreadPoolExecutor(1) as pool:
        pruning = pool.submit(sslctl.run, "history", "prune", *_KEPT)
        while not pruning.done():
            ticks.append(sslctl.run("daemon-tick", "--quiet").wall)
            # A tick each second: many times what anybody runs.
            time.sleep(1)
        return ticks, pruning.result()


def _rows(measured: _Measured, sizes: Sizes) -> Iterator[Row]:
    first, last = sizes.years
    often = (*_COMMANDS, *_PAGES)
    for store in STORES:
        slowest = max(often, key=lambda what: measured.time(what, store, last))
        steepest = max(
            often, key=lambda what: measured.time(what, store, last) / measured.time(what, store, first)
        )
        growth = measured.time(steepest, store, last) / measured.time(steepest, store, first)
        yield under(
            f"{store}: the slowest of {len(often)} commands and pages, {last:g} years",
            _USABLE_SECONDS,
            "s",
            [measured.time(slowest, store, last)],
            slowest,
        )
        yield under(
            f"{store}: time of these from {first:g} to {last:g} years, against linear",
            _WANTED_GROWTH,
            "times",
            [growth * first / last],
            f"most: {steepest}",
        )
        for what in (_VERIFY, _BACKUP, _PRUNE):
            if (what, store, last) in measured.seconds:
                yield from _whole(measured, sizes, what, store)
        yield under(
            f"{store}: {_TICK_BESIDE}, {last:g} years",
            _WANTED_TICK_SECONDS,
            "s",
            measured.seconds[_TICK_BESIDE, store, last],
            f"{number(measured.time(_TICK, store, last))} s alone",
        )


def _whole(measured: _Measured, sizes: Sizes, what: str, store: str) -> Iterator[Row]:
    """Yield the rows of what reads all of the history, or all that is old."""
    first, last = sizes.years
    counts = measured.pruned if what == _PRUNE else {at: aged.events for at, aged in measured.aged.items()}
    linear = measured.time(what, store, first) * counts[store, last] / counts[store, first]
    rate = counts[store, last] / measured.time(what, store, last)
    yield under(
        f"{store}: {what}: time from {first:g} to {last:g} years, against linear",
        _WANTED_GROWTH,
        "times",
        [measured.time(what, store, last) / linear],
        f"{number(rate)} events a second",
    )
    memory = [measured.memory(what, store, last)]
    yield under(f"{store}: {what}: memory, {last:g} years", _WANTED_MIB, "MiB", memory)


def _history(measured: _Measured) -> Table:
    head = ("store", "years", "versions", "events", "database, MiB", "events pruned")
    rows = [
        (
            store,
            f"{years:g}",
            f"{aged.versions:,}",
            f"{aged.events:,}",
            f"{aged.size / MIB:,.0f}",
            f"{measured.pruned[store, years]:,}",
        )
        for (store, years), aged in measured.aged.items()
    ]
    return Table("The history", head, rows)


def _tables(measured: _Measured, sizes: Sizes) -> Iterator[Table]:
    for store in STORES:
        rows = []
        for what in (*_COMMANDS, *_PAGES, _VERIFY, _BACKUP, _PRUNE, _TICK_BESIDE):
            places = [(what, store, years) for years in sizes.years]
            if places[0] in measured.seconds:
                seconds = [number(median(measured.seconds[place])) for place in places]
                memory = [
                    number(measured.memory(*place)) if place in measured.bytes else "" for place in places
                ]
                rows.append((what, *seconds, *memory))
        head = ("operation", *(f"{_span(years)}, {unit}" for unit in ("s", "MiB") for years in sizes.years))
        yield Table(f"{store}, by the years of history", head, rows)


def _span(years: float) -> str:
    return "1 year" if years == 1 else f"{years:g} years"
