"""What grows with the fleet: a tick with nothing due, `list`, `add --from-file`; and what a short command costs."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.bench import meter
from tests.bench.fleet import Fleet, names
from tests.bench.meter import Cost, Failed, Job
from tests.bench.program import Sslctl, installed, unserved
from tests.bench.report import MIB, Part, Row, Table, number, under
from tests.support.suite import Progress

_PAGE = 50
_ROWS_AND_COLUMNS = (50, 160)
# A store so small that only the start of the program takes time.
_TINY = 10
_OPERATIONS = {
    "tick": "a tick with nothing due",
    "list": "`list --json` into a file",
    "add": "`add --from-file --no-wait`",
}


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    repetitions: int = 3
    starts: int = 15
    counts: tuple[int, ...] = (1_000, 10_000, 100_000)


@dataclass(slots=True)
class _Grown:
    """Seconds and bytes of each operation, by the number of domains; one of each a repetition."""

    walls: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    sizes: dict[tuple[str, int], list[float]] = field(default_factory=dict)

    def add(self, operation: str, count: int, cost: Cost) -> None:
        self.walls.setdefault((operation, count), []).append(cost.wall)
        self.sizes.setdefault((operation, count), []).append(float(cost.largest_rss))

    def seconds(self, operation: str, count: int) -> float:
        return median(self.walls[operation, count])

    def mebibytes(self, operation: str, count: int) -> float:
        return median(self.sizes[operation, count]) / MIB


def measure(folder: Path, sizes: Sizes, progress: Progress) -> Part:
    """Measure at each of the counts; the rows are about the largest."""
    grown = _Grown()
    pages: list[float] = []
    for count in (_TINY, *sizes.counts):
        with TemporaryDirectory(dir=folder) as own:
            sslctl = _settled(Path(own), count, progress)
            if count == _TINY:
                rows = _starts(sslctl, sizes)
            for _ in range(sizes.repetitions):
                _measure_at(sslctl, count, grown, progress)
            if count == sizes.counts[-1]:
                pages = [
                    max(_page_of_pipe(sslctl), _page_of_terminal(sslctl)) for _ in range(sizes.repetitions)
                ]
    part = Part([*_largest(grown, sizes.counts[-1], pages), *rows, *_growth(grown, sizes.counts)])
    part.tables.append(_table(grown, sizes.counts))
    part.facts["counts"] = list(sizes.counts)
    for operation in _OPERATIONS:
        part.facts[f"{operation}_seconds"] = [grown.seconds(operation, count) for count in sizes.counts]
        part.facts[f"{operation}_mebibytes"] = [grown.mebibytes(operation, count) for count in sizes.counts]
    return part


def _settled(own: Path, count: int, progress: Progress) -> Sslctl:
    """Create a store of `count` domains with nothing due. No service is called, so none is running."""
    progress(f"making a store of {count:,} domains")
    sslctl = unserved(own)
    Fleet(sslctl).fill(names(count, "settled"), Fleet.settled)
    return sslctl


def _measure_at(sslctl: Sslctl, count: int, grown: _Grown, progress: Progress) -> None:
    progress(f"{count:,} domains: tick, list, add")
    grown.add("tick", count, sslctl.run("daemon-tick", "--quiet"))
    output = sslctl.state.parent / "list.json"
    output.unlink(missing_ok=True)
    grown.add("list", count, meter.run(sslctl.job("list", "--json", output=str(output))))
    with TemporaryDirectory(dir=sslctl.state.parent) as own:
        listed = Path(own) / "names.txt"
        listed.write_text("\n".join(names(count, "added")))
        empty = Sslctl(sslctl.config, Path(own) / "state")
        grown.add("add", count, empty.run("add", "--no-wait", "--from-file", str(listed)))
        if len(empty.ask("list", "--status", "pending")["domains"]) != count:
            raise Failed("add did not record every name")


def _starts(sslctl: Sslctl, sizes: Sizes) -> list[Row]:
    """Measure short commands against the start of Python itself, alternately."""
    commands = {"bare": [sys.executable, "-c", "pass"]}
    commands |= {"help": [*installed("sslctl"), "--help"], "list": [*installed("sslctl"), "list"]}
    turns = [command for _ in range(sizes.starts) for command in commands.values()]
    cost = meter.run(Job(turns, str(sslctl.state.parent), sslctl.environment()))
    walls = {name: cost.walls[place :: len(commands)] for place, name in enumerate(commands)}
    over = {
        name: [1000 * (wall - bare) for wall, bare in zip(walls[name], walls["bare"], strict=True)]
        for name in ("help", "list")
    }
    note = f"bare Python takes {number(1000 * median(walls['bare']))} ms"
    return [
        under("`sslctl --help`, over bare Python's start", 120, "ms", over["help"], note),
        under(f"`sslctl list` of {_TINY}, over bare Python's start", 200, "ms", over["list"], note),
    ]


def _page_of_pipe(sslctl: Sslctl) -> float:
    """Return the seconds until the first page has come through a pipe."""
    began = time.perf_counter()
    with subprocess.Popen(
        [*installed("sslctl"), "list"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=sslctl.environment(),
    ) as process:
        assert process.stdout is not None
        return _until_page(process.stdout.fileno(), began)


def _page_of_terminal(sslctl: Sslctl) -> float:
    """Return the seconds until the first page is on a terminal."""
    ours, its = pty.openpty()
    try:
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", *_ROWS_AND_COLUMNS, 0, 0))
        began = time.perf_counter()
        with subprocess.Popen(
            [*installed("sslctl"), "list"],
            stdin=its,
            stdout=its,
            stderr=its,
            env={**sslctl.environment(), "TERM": "xterm", "PAGER": "cat"},
            start_new_session=True,
        ) as process:
            os.close(its)
            seconds = _until_page(ours, began)
            process.kill()
    finally:
        os.close(ours)
    return seconds


def _until_page(descriptor: int, began: float) -> float:
    lines = 0
    # Reading from a terminal raises an error when its program has ended.
    with suppress(OSError):
        while lines < _PAGE and (read := os.read(descriptor, 1 << 16)):
            lines += read.count(b"\n")
    return time.perf_counter() - began


def _largest(grown: _Grown, count: int, pages: list[float]) -> list[Row]:
    tick, listing = grown.walls["tick", count], grown.walls["list", count]
    memory = [size / MIB for size in grown.sizes["tick", count]]
    return [
        under(f"A tick over {count:,} domains with nothing due", 1, "s", tick),
        under(f"A tick over {count:,} domains with nothing due, memory", 150, "MiB", memory),
        under(f"`list --json` of {count:,} into a file", 2, "s", listing),
        under(f"The first {_PAGE} lines of `list` of {count:,}, pipe or terminal", 0.4, "s", pages),
    ]


def _growth(grown: _Grown, counts: tuple[int, ...]) -> list[Row]:
    """Compare the growth from the second largest to the largest count with linear growth, without the program's start."""
    before, last = counts[-2:]
    rows = []
    for operation, what in _OPERATIONS.items():
        for measure, unit, least in ((grown.seconds, "time", 0.01), (grown.mebibytes, "memory", 1.0)):
            start = measure(operation, _TINY)
            # Below `least` the difference is noise.
            linear = start + last / before * max(measure(operation, before) - start, least)
            label = f"{what.capitalize()}: {unit} from {before:,} to {last:,}, against linear"
            rows.append(under(label, 1.1, "times", [measure(operation, last) / linear]))
    return rows


def _table(grown: _Grown, counts: tuple[int, ...]) -> Table:
    head = ("domains", *(f"{what}{unit}" for what in _OPERATIONS.values() for unit in (", s", ", MiB")))
    rows = [
        (
            f"{count:,}",
            *(
                number(measure(operation, count))
                for operation in _OPERATIONS
                for measure in (grown.seconds, grown.mebibytes)
            ),
        )
        for count in (_TINY, *counts)
    ]
    return Table("Time and memory by the number of domains", head, rows)
