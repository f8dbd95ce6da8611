"""Years of history: a tick that has work, writers meanwhile, and `keys prune`, over many versions of each certificate."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.fleet import Fleet, names
from tests.bench.meter import Cost
from tests.bench.program import Sslctl, unserved
from tests.bench.report import MIB, Part, under
from tests.bench.writer import Writer
from tests.support.suite import Progress


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured. The full size, 40,000 domains with 30 versions each, takes 5 GB and some minutes to make."""

    repetitions: int = 3
    domains: int = 5_000
    versions: int = 30


def measure(folder: Path, sizes: Sizes, progress: Progress) -> Part:
    """Measure ticks with one domain due and none due, and `keys prune --dry-run`."""
    with TemporaryDirectory(dir=folder) as own:
        sslctl = _aged(Path(own), sizes, progress)
        size = (sslctl.state / "sslctl.db").stat().st_size / MIB
        working, idle, waits = list[float](), list[float](), list[float]()
        prunes = list[Cost]()
        for repetition in range(sizes.repetitions):
            progress(f"{repetition + 1} of {sizes.repetitions}: ticks, and keys prune")
            _make_one_due(sslctl)
            with Writer(sslctl.state / "sslctl.db") as writer:
                # C4 does not answer here: the domain is Pending after its pass.
                working.append(sslctl.run("daemon-tick", "--quiet", accept=(5, 75)).wall)
            waits.append(writer.longest)
            idle.append(sslctl.run("daemon-tick", "--quiet").wall)
            prunes.append(sslctl.run("keys", "prune", "--dry-run"))
    what = f"{sizes.domains:,} domains with {sizes.versions} versions ({size:,.0f} MiB)"
    return Part(
        [
            under(f"A tick with one domain due over {what}", 5, "s", working),
            under(f"A tick with nothing due over {what}", 1.5, "s", idle),
            under("The longest wait of a writer during that tick", 1, "s", waits),
            under("`keys prune --dry-run`", 120, "s", [cost.wall for cost in prunes]),
            under("`keys prune --dry-run`, memory", 150, "MiB", [cost.largest_rss / MIB for cost in prunes]),
        ]
    )


def _aged(own: Path, sizes: Sizes, progress: Progress) -> Sslctl:
    """Create a store with nothing due, in which each certificate has replaced many. No service is running."""
    progress(f"making a store of {sizes.domains:,} domains with {sizes.versions} versions each")
    sslctl = unserved(own)
    fleet = Fleet(sslctl)
    fleet.fill(names(sizes.domains, "aged"), Fleet.settled)
    fleet.age(sizes.versions - 1)
    return sslctl


def _make_one_due(sslctl: Sslctl) -> None:
    unknown = ", ".join(
        f"unconfirmed_{column} = NULL" for column in ("code", "found", "since", "retry_at", "tries")
    )
    with closing(sqlite3.connect(sslctl.state / "sslctl.db")) as connection, connection:
        connection.execute(
            f"UPDATE domain SET retry_at = '2020-01-01T00:00:00Z', {unknown} WHERE id ="  # noqa: S608 - ours
            " (SELECT min(id) FROM domain WHERE finding_code = 'CNAME_ELSEWHERE')"
        )
