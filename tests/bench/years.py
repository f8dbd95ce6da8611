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

from tests.bench import meter
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
_SHORTEST_KEPT_DAYS = 180
_TICK = "a tick with nothing due"
_VERIFY, _BACKUP, _PRUNE = "`audit verify`", "the backup", "`history prune`"
_VERIFY_ARCHIVES = "`audit verify` with the archives"
_WHOLE = (_VERIFY, _BACKUP, _PRUNE, _VERIFY_ARCHIVES)
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
    """How much is measured. Of so many domains the last of `years` are 30 million events."""

    repetitions: int = 3
    domains: int = 100_000
    years: tuple[float, float] = (1, 5)


@dataclass(frozen=True, slots=True)
class _Pruned:
    """What went into archives, which have `size` bytes."""

    events: int
    certificates: int
    orders: int
    size: int


@dataclass(slots=True)
class _Measured:
    """The seconds and the bytes of each operation, by its store and the years; and how much history there was."""

    seconds: dict[tuple[str, str, float], list[float]] = field(default_factory=dict)
    bytes: dict[tuple[str, str, float], list[float]] = field(default_factory=dict)
    aged: dict[tuple[str, float], Aged] = field(default_factory=dict)
    pruned: dict[tuple[str, float], _Pruned] = field(default_factory=dict)

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
    return Part(list(_rows(measured, sizes)), [_history(measured, sizes.domains), *_tables(measured, sizes)])


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
    copy = sslctl.state.parent / "backup"
    measured.add(_BACKUP, where, meter.run(aged.backup(copy)))
    copy.unlink()
    # The oldest year at most: of five years each is the same work again.
    kept = max(_SHORTEST_KEPT_DAYS, round((where[1] - 1) * _DAYS_A_YEAR))
    ticks, cost = _prune_beside_ticks(sslctl, kept)
    measured.add(_PRUNE, where, cost)
    measured.add_seconds(_TICK_BESIDE, where, max(ticks))
    archives = sslctl.ask("history", "list")["archives"]
    counted = ("events", "certificates", "orders", "bytes")
    measured.pruned[where] = _Pruned(*(sum(archive[each] for archive in archives) for each in counted))
    verified = sslctl.run("audit", "verify", "--archive", str(sslctl.state / "archive"))
    measured.add(_VERIFY_ARCHIVES, where, verified)


def _prune_beside_ticks(sslctl: Sslctl, kept_days: int) -> tuple[list[float], Cost]:
    """Return the seconds of each tick meanwhile, and what `history prune` took."""
    ticks = []
    with ThreadPoolExecutor(1) as pool:
        pruning = pool.submit(sslctl.run, "history", "prune", "--keep-days", str(kept_days), "--yes")
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
        for what in _WHOLE:
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
    events = {
        at: measured.pruned[at].events if what == _PRUNE else measured.aged[at].events for at in measured.aged
    }
    # A certificate costs as much as many events, and the first months have few that can be pruned.
    amounts = {at: pruned.size for at, pruned in measured.pruned.items()} if what == _PRUNE else events
    linear = measured.time(what, store, first) * amounts[store, last] / amounts[store, first]
    rate = events[store, last] / measured.time(what, store, last)
    yield under(
        f"{store}: {what}: time from {first:g} to {last:g} years, against linear",
        _WANTED_GROWTH,
        "times",
        [measured.time(what, store, last) / linear],
        f"{number(rate)} events a second",
    )
    memory = [measured.memory(what, store, last)]
    yield under(f"{store}: {what}: memory, {last:g} years", _WANTED_MIB, "MiB", memory)


def _history(measured: _Measured, domains: int) -> Table:
    head = ("store", "years", "versions", "events", "database, MiB")
    pruned_head = ("events pruned", "versions pruned", "orders pruned", "archives, MiB")
    rows = []
    for (store, years), aged in measured.aged.items():
        pruned = measured.pruned[store, years]
        counts = (aged.versions, aged.events, round(aged.size / MIB), pruned.events, pruned.certificates)
        archives = (pruned.orders, round(pruned.size / MIB))
        rows.append((store, f"{years:g}", *(f"{count:,}" for count in (*counts, *archives))))
    return Table(f"The history of {domains:,} domains", (*head, *pruned_head), rows)


def _tables(measured: _Measured, sizes: Sizes) -> Iterator[Table]:
    for store in STORES:
        rows = []
        for what in (*_COMMANDS, *_PAGES, *_WHOLE, _TICK_BESIDE):
            places = [(what, store, years) for years in sizes.years]
            seconds = [number(median(measured.seconds[place])) for place in places]
            memory = [number(measured.memory(*place)) if place in measured.bytes else "" for place in places]
            rows.append((what, *seconds, *memory))
        head = ("operation", *(f"{_span(years)}, {unit}" for unit in ("s", "MiB") for years in sizes.years))
        yield Table(f"{store}, by the years of history", head, rows)


def _span(years: float) -> str:
    return "1 year" if years == 1 else f"{years:g} years"
