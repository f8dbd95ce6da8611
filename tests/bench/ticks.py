"""Ticks over thousands of domains that need no order: the daily recheck of Failures, owed uploads, and the daily look."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.bench.fleet import Fleet, names
from tests.bench.issuance import world
from tests.bench.meter import Cost, Failed
from tests.bench.program import Sslctl
from tests.bench.report import Part, Table, at_least, number, under
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
    uploads, looks = _Measured(), {kind: _Measured() for kind in _LOOKS}
    for repetition in range(sizes.repetitions):
        progress(f"{repetition + 1} of {sizes.repetitions}: {sizes.domains} uploads")
        # C4 must have no certificate yet.
        with world() as servers:
            _upload_and_look(servers, folder, sizes, uploads, looks)
    what = f"A tick over {sizes.domains:,}"
    part = Part(
        [
            at_least(f"{what} Failure domains: C4, DNS, no order", 500, "a second", rechecks.rates),
            at_least(f"{what} owed uploads, read-back included", 150, "a second", uploads.rates),
            *(
                under(f"{what} domains: {kind}, CPU a domain", 1.6, "ms", _cpu_milliseconds(looks[kind]))
                for kind in _LOOKS
            ),
        ]
    )
    part.tables.append(_spent({"a recheck": rechecks, "an upload": uploads, **looks}))
    part.facts = {
        "rechecks_per_second": median(rechecks.rates),
        "uploads_per_second": median(uploads.rates),
        "look_milliseconds": {kind: median(_cpu_milliseconds(looks[kind])) for kind in _LOOKS},
    }
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


def _upload_and_look(
    servers: Servers, folder: Path, sizes: Sizes, uploads: _Measured, looks: dict[str, _Measured]
) -> None:
    many = names(sizes.domains, "owed")
    servers.add(many)
    with TemporaryDirectory(dir=folder) as own:
        sslctl = Sslctl(servers.config, Path(own) / "state")
        Fleet(sslctl).fill(many, Fleet.owed)
        sslctl.require(sizes.domains, "Emergency")
        before = servers.cpu_seconds()
        cost = sslctl.run("daemon-tick", "--quiet")
        uploads.add(sizes.domains, cost, before, servers.cpu_seconds())
        sslctl.require(sizes.domains, "Success")
        for kind, (has_inventory, column) in _LOOKS.items():
            servers.set_inventory(exists=has_inventory)
            _make_due(sslctl, column)
            before = servers.cpu_seconds()
            cost = sslctl.run("daemon-tick", "--quiet")
            after = servers.cpu_seconds()
            looks[kind].add(_looked_at(sslctl, column, sizes.domains), cost, before, after)


# Whether C4 has an inventory, and the column that shows when the look was made.
_LOOKS = {
    "the daily look, by C4's inventory": (True, "observed_at"),
    "the daily look, one request each": (False, "observed_at"),
    "the weekly check: C4, DNS, CAA": (True, "dns_checked_at"),
}


def _make_due(sslctl: Sslctl, column: str) -> None:
    """Let all domains be due for a look, and the last tick be long ago."""
    with closing(sqlite3.connect(sslctl.state / "sslctl.db")) as connection, connection:
        connection.execute("UPDATE domain SET observed_at = ?, dns_checked_at = ?", (_SOON, _SOON))
        connection.execute(f"UPDATE domain SET {column} = ?", (_LONG_AGO,))  # noqa: S608 - ours
        connection.execute("UPDATE milestone SET at = ? WHERE name = 'tick'", (_LONG_AGO,))


_LONG_AGO, _SOON = "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"


def _looked_at(sslctl: Sslctl, column: str, count: int) -> int:
    """Return how many domains were looked at. Raise `Failed` unless all `count` are in Success.

    The daily look covers all. The weekly check covers what is due in a day, because no tick makes up for more.
    """
    sql = f"SELECT count(*) FROM domain WHERE {column} > ?"  # noqa: S608 - ours
    with closing(sqlite3.connect(sslctl.state / "sslctl.db")) as connection:
        looked_at: int = connection.execute(sql, (_LONG_AGO,)).fetchone()[0]
    if looked_at < (count if column == "observed_at" else count / 7):
        raise Failed(f"{looked_at} of {count} domains were looked at ({column})")
    sslctl.require(count, "Success")
    return looked_at


def _cpu_milliseconds(measured: _Measured) -> list[float]:
    return [1000 * cpu["sslctl"] for cpu in measured.cpus]


def _spent(kinds: dict[str, _Measured]) -> Table:
    parts = next(iter(kinds.values())).cpus[0]
    rows = [
        (who, *(number(1000 * median(cpu[who] for cpu in kind.cpus)) for kind in kinds.values()))
        for who in parts
    ]
    return Table("CPU for one domain, in milliseconds", ("who", *kinds), rows)
