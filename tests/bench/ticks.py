"""Ticks over thousands of domains that need no order: the daily recheck of Failures, and uploads that are owed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.bench.fleet import Fleet, names
from tests.bench.issuance import world
from tests.bench.meter import Cost
from tests.bench.program import Sslctl
from tests.bench.report import Part, Table, at_least, number
from tests.bench.servers import Servers
from tests.support.suite import Progress


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    repetitions: int = 3
    domains: int = 10_000


@dataclass(slots=True)
class _Measured:
    """Domains a second, and the CPU seconds of all for one domain, one a repetition."""

    rates: list[float] = field(default_factory=list)
    cpus: list[dict[str, float]] = field(default_factory=list)

    def add(self, count: int, cost: Cost, before: dict[str, float], after: dict[str, float]) -> None:
        self.rates.append(count / cost.wall)
        world_cpu = {who: (after[who] - before[who]) / count for who in after if who != "Pebble"}
        self.cpus.append({"sslctl": cost.cpu_seconds / count, **world_cpu})


def measure(folder: Path, sizes: Sizes, progress: Progress) -> Part:
    """Measure both kinds of ticks against a local DNS and the reference C4."""
    with world() as servers:
        rechecks = _rechecks(servers, folder, sizes, progress)
    uploads = _Measured()
    for repetition in range(sizes.repetitions):
        progress(f"{repetition + 1} of {sizes.repetitions}: {sizes.domains} uploads")
        # C4 must have no certificate yet.
        with world() as servers:
            _upload(servers, folder, sizes, uploads)
    what = f"A tick over {sizes.domains:,}"
    part = Part(
        [
            at_least(f"{what} Failure domains: C4, DNS, no order", 500, "a second", rechecks.rates),
            at_least(f"{what} owed uploads, read-back included", 150, "a second", uploads.rates),
        ]
    )
    part.tables.append(_spent(rechecks, uploads))
    part.facts = {"rechecks_per_second": median(rechecks.rates), "uploads_per_second": median(uploads.rates)}
    return part


def _rechecks(servers: Servers, folder: Path, sizes: Sizes, progress: Progress) -> _Measured:
    many = names(sizes.domains, "failing")
    servers.add(many, elsewhere=True)
    measured = _Measured()
    with TemporaryDirectory(dir=folder) as own:
        sslctl = Sslctl(servers.config, Path(own) / "state")
        template = Path(own) / "template"
        Fleet(sslctl).fill(many, Fleet.failing)
        sslctl.state.rename(template)
        for repetition in range(sizes.repetitions):
            progress(f"{repetition + 1} of {sizes.repetitions}: {sizes.domains} rechecks")
            sslctl.reset(copy_of=template)
            before = servers.cpu_seconds()
            # Exit code 5: none of them is healthy.
            cost = sslctl.run("daemon-tick", "--quiet", accept=(5,))
            measured.add(sizes.domains, cost, before, servers.cpu_seconds())
            # They were recorded with another reason, so the tick really looked at them.
            sslctl.require(sizes.domains, "Failure", "CNAME_ELSEWHERE")
    return measured


def _upload(servers: Servers, folder: Path, sizes: Sizes, measured: _Measured) -> None:
    many = names(sizes.domains, "owed")
    servers.add(many)
    with TemporaryDirectory(dir=folder) as own:
        sslctl = Sslctl(servers.config, Path(own) / "state")
        Fleet(sslctl).fill(many, Fleet.owed)
        sslctl.require(sizes.domains, "Emergency")
        before = servers.cpu_seconds()
        cost = sslctl.run("daemon-tick", "--quiet")
        measured.add(sizes.domains, cost, before, servers.cpu_seconds())
        sslctl.require(sizes.domains, "Success")


def _spent(rechecks: _Measured, uploads: _Measured) -> Table:
    rows = [
        (who, *(number(1000 * median(cpu[who] for cpu in kind.cpus)) for kind in (rechecks, uploads)))
        for who in rechecks.cpus[0]
    ]
    return Table("CPU for one domain, in milliseconds", ("who", "a recheck", "an upload"), rows)
