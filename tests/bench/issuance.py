"""Certificates from Pebble: one tick over many due domains, against other programs on the same CA in the same run."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.bench import meter
from tests.bench.competitors import CADDY, CERTBOT, DEHYDRATED, LEGO, Competitor
from tests.bench.fleet import names
from tests.bench.meter import Cost, Job
from tests.bench.program import Sslctl, installed
from tests.bench.report import MIB, Part, Row, Table, at_least, number, under
from tests.bench.servers import Servers
from tests.support import fast_folder
from tests.support.suite import Progress

_SAMPLE_SECONDS = 0.1
# As in the sandbox.
_ACTIVATION_SECONDS = 0.5
_MODES = ("webroot", "standalone")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured. Competitors get fewer certificates, since the time of one is compared.

    Memory is measured with `workers`, and time with as many as sslctl has by default. `batch` domains are added with `workers`, and
    `alone` with as many as `alone_workers`.
    """

    repetitions: int = 3
    adds: int = 9
    domains: int = 200
    workers: int = 32
    slow: tuple[int, ...] = (32, 48, 64)
    batch: int = 3000
    alone: int = 400
    alone_workers: int = 8
    competitors: tuple[tuple[Competitor, int], ...] = ((CERTBOT, 12), (LEGO, 5), (DEHYDRATED, 6), (CADDY, 50))


@dataclass(slots=True)
class _Measured:
    """Seconds and CPU seconds a certificate, by who made it; one of each a repetition."""

    walls: dict[str, list[float]] = field(default_factory=dict)
    cpus: dict[str, list[float]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, who: str, count: int, cost: Cost) -> None:
        self.walls.setdefault(who, []).append(cost.wall / count)
        self.cpus.setdefault(who, []).append(cost.cpu_seconds / count)
        self.counts[who] = count

    def times_faster(self, who: str, than: str) -> list[float]:
        """Return how many certificates `who` made while `than` made one, in each repetition."""
        pairs = zip(self.walls.get(than, []), self.walls[who], strict=False)
        return [slow / fast for slow, fast in pairs]


@contextmanager
def world(activation_seconds: float = 0, **pebble: str) -> Iterator[Servers]:
    """Yield a CDN and a CA with their files in memory: their disk is not what is measured."""
    with (
        fast_folder("bench") as folder,
        Servers(folder, activation_seconds=activation_seconds, **pebble) as servers,
    ):
        yield servers


def measure(folder: Path, sizes: Sizes, progress: Progress) -> Part:
    """Measure everything that orders certificates. Needs Pebble; a competitor that is not installed is left out."""
    measured = _Measured()
    spent: dict[str, float] = {}
    with world(PEBBLE_WFE_NONCEREJECT="0") as servers:
        for repetition in range(sizes.repetitions):
            _repeat(servers, folder, sizes, repetition, measured, spent, progress)
        memory = [
            _tick(servers, folder, sizes.domains, f"memory{number}", workers=sizes.workers, sample=True)
            for number in range(sizes.repetitions)
        ]
    with world() as servers:
        progress("sslctl, at 5 % rejected nonces")
        cost = _tick(servers, folder, sizes.domains, "nonce", mode="webroot")
        measured.add("sslctl, webroot, 5 % of nonces rejected", sizes.domains, cost)
    part = Part(
        [*_rows(measured, sizes, memory), _one_add(folder, sizes, progress), *_batch(folder, sizes, progress)]
    )
    part.tables = [_compared(measured), _spent(measured, spent), _slow(folder, sizes, progress)]
    part.facts = {
        "per_second": 1 / median(measured.walls["sslctl, webroot"]),
        "cpu_seconds": median(measured.cpus["sslctl, webroot"]),
    }
    return part


def _repeat(
    servers: Servers,
    folder: Path,
    sizes: Sizes,
    repetition: int,
    measured: _Measured,
    spent: dict[str, float],
    progress: Progress,
) -> None:
    """Run sslctl and its competitors alternately, so that all meet the same state of the machine."""
    for entry, mode in zip_longest(sizes.competitors, _MODES):
        if entry and entry[0].is_installed:
            competitor, count = entry
            progress(f"{repetition + 1} of {sizes.repetitions}: {competitor.name}, {count} certificates")
            many = names(count, f"{competitor.program}{repetition}")
            servers.add(many)
            with TemporaryDirectory(dir=folder) as own:
                measured.add(competitor.name, count, competitor.get(servers, Path(own), many))
        if mode:
            progress(f"{repetition + 1} of {sizes.repetitions}: sslctl, {mode}, {sizes.domains} certificates")
            before = servers.cpu_seconds()
            cost = _tick(servers, folder, sizes.domains, f"{mode}{repetition}", mode=mode)
            measured.add(f"sslctl, {mode}", sizes.domains, cost)
            if mode == "webroot":
                _note_spent(spent, before, servers.cpu_seconds(), sizes)


def _note_spent(
    spent: dict[str, float], before: dict[str, float], after: dict[str, float], sizes: Sizes
) -> None:
    for who, seconds in after.items():
        share = (seconds - before[who]) / sizes.domains / sizes.repetitions
        spent[who] = spent.get(who, 0) + share


def _tick(
    servers: Servers,
    folder: Path,
    count: int,
    prefix: str,
    *,
    mode: str = "webroot",
    workers: int | None = None,
    sample: bool = False,
) -> Cost:
    """Run one tick that takes `count` recorded domains to Success; return its cost. The account exists already."""
    first, *many = names(count + 1, prefix)
    servers.add([first, *many])
    with TemporaryDirectory(dir=folder) as own:
        sslctl = Sslctl(servers.config, Path(own) / "state").with_settings(acme_mode=mode)
        if workers is not None:
            sslctl = sslctl.with_settings(acme_workers=str(workers))
        listed = Path(own) / "names.txt"
        listed.write_text("\n".join(many))
        sslctl.run("add", first)
        sslctl.run("add", "--no-wait", "--from-file", str(listed))
        cost = sslctl.run("daemon-tick", "--quiet", sample_seconds=_SAMPLE_SECONDS if sample else 0)
        sslctl.require(count + 1, "Success")
    return cost


def _one_add(folder: Path, sizes: Sizes, progress: Progress) -> Row:
    """Measure what a person waits for, against the start of Python itself, alternately."""
    progress(f"`sslctl add` of one domain, {sizes.adds} times")
    first, *many = names(sizes.adds + 1, "one")
    with world(_ACTIVATION_SECONDS) as servers, TemporaryDirectory(dir=folder) as own:
        servers.add([first, *many])
        sslctl = Sslctl(servers.config, Path(own) / "state").with_settings(acme_mode="webroot")
        sslctl.run("add", first)
        bare = [sys.executable, "-c", "pass"]
        turns = [turn for name in many for turn in (bare, [*installed("sslctl"), "add", name])]
        walls = meter.run(Job(turns, str(sslctl.state.parent), sslctl.environment())).walls
        sslctl.require(sizes.adds + 1, "Success")
    note = (
        f"C4 takes {_ACTIVATION_SECONDS:g} s of it; bare Python takes {number(1000 * median(walls[::2]))} ms"
    )
    return under("`sslctl add` of one domain, in the sandbox", 1.2, "s", walls[1::2], note)


def _rows(measured: _Measured, sizes: Sizes, memory: Sequence[Cost]) -> list[Row]:
    what = f"{sizes.domains} due domains, one tick with upload and read-back, against"
    wanted = {CERTBOT: 50, CADDY: 17, LEGO: 60, DEHYDRATED: 45}
    rows = []
    for competitor, count in sorted(sizes.competitors, key=lambda pair: list(wanted).index(pair[0])):
        faster = measured.times_faster("sslctl, webroot", competitor.name)
        note = "" if faster else f"{competitor.program} is not installed"
        if faster and competitor is CERTBOT:
            note = "the aim is 60" if median(faster) < 60 else "the aim of 60 too"
        rows.append(
            at_least(
                f"{what} {competitor.name} ({count} names)", wanted[competitor], "times faster", faster, note
            )
        )
    slower = [
        standalone / webroot
        for standalone, webroot in zip(
            measured.walls["sslctl, standalone"], measured.walls["sslctl, webroot"], strict=True
        )
    ]
    rows.append(under("The same in standalone mode, time against webroot", 1.15, "times", slower))
    cpus = measured.cpus["sslctl, webroot"]
    note = "the aim is 0.042" if median(cpus) > 0.042 else "the aim of 0.042 too"
    rows.append(under("CPU of sslctl and its children for one certificate", 0.050, "s", cpus, note))
    peaks = [cost.peak_pss / MIB for cost in memory]
    most = max(cost.most_processes for cost in memory)
    note = f"up to {most} processes at once"
    rows.append(under(f"Peak memory of everything with {sizes.workers} workers", 1024, "MiB", peaks, note))
    return rows


def _compared(measured: _Measured) -> Table:
    head = ("program", "certificates", "seconds each", "a second", "CPU seconds each")
    rows = [
        (
            who,
            f"{measured.counts[who]}",
            number(median(walls)),
            number(1 / median(walls)),
            number(median(measured.cpus[who])),
        )
        for who, walls in sorted(measured.walls.items(), key=lambda item: median(item[1]))
    ]
    return Table("Certificates from the same CA", head, rows)


def _slow(folder: Path, sizes: Sizes, progress: Progress) -> Table:
    """Measure the same with a slow CA: Pebble's default, 0 to 4 seconds before each validation."""
    rows = []
    with world(PEBBLE_VA_NOSLEEP="0", PEBBLE_WFE_NONCEREJECT="0") as servers:
        for workers in sizes.slow:
            progress(f"sslctl, {workers} workers, a slow CA")
            cost = _tick(servers, folder, sizes.domains, f"slow{workers}", workers=workers)
            rows.append((f"{workers}", number(sizes.domains / cost.wall)))
    return Table(
        "A CA that waits up to 4 s before each validation", ("workers", "certificates a second"), rows
    )


def _batch(folder: Path, sizes: Sizes, progress: Progress) -> list[Row]:
    """Measure a large batch of first adds at the slow CA, against what its workers allow.

    An order mostly waits for such a CA. What one worker does in a second is measured with few of them, which leave the machine idle.
    """
    rates, costs = [], []
    with world(PEBBLE_VA_NOSLEEP="0", PEBBLE_WFE_NONCEREJECT="0") as servers:
        for count, workers in ((sizes.alone, sizes.alone_workers), (sizes.batch, sizes.workers)):
            progress(f"sslctl add, {count} domains, {workers} workers, a slow CA")
            first, *many = names(count + 1, f"batch{workers}")
            servers.add([first, *many])
            with TemporaryDirectory(dir=folder) as own:
                sslctl = Sslctl(servers.config, Path(own) / "state").with_settings(
                    acme_mode="webroot", acme_workers=str(workers)
                )
                listed = Path(own) / "names.txt"
                listed.write_text("\n".join(many))
                sslctl.run("add", first)
                cost = sslctl.run("add", "--from-file", str(listed), sample_seconds=5 * _SAMPLE_SECONDS)
                sslctl.require(count + 1, "Success")
            costs.append(cost)
            rates.append(count / cost.wall / workers)
    alone, together = rates
    what = f"{sizes.batch:,} first adds, {sizes.workers} workers, a CA that waits up to 4 s"
    note = f"{number(together * sizes.workers)} a second; one worker alone does {number(alone)}"
    return [
        at_least(f"{what}, of what the workers allow", 0.9, "times", [together / alone], note),
        under(f"{what}, memory", 700, "MiB", [costs[-1].peak_pss / MIB]),
    ]


def _spent(measured: _Measured, spent: dict[str, float]) -> Table:
    """Return the CPU time of each part during sslctl's tick in webroot mode."""
    parts = {"sslctl and its children": median(measured.cpus["sslctl, webroot"]), **spent}
    total = sum(parts.values())
    rows = [(who, number(seconds), f"{seconds / total:.0%}") for who, seconds in parts.items()]
    return Table("CPU for one certificate, the world included", ("who", "seconds", "share"), rows)
