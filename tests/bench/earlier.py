"""Today's sslctl against that of an earlier commit, side by side: what was added since must not cost what was there before."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.bench import meter
from tests.bench.fleet import Fleet, names
from tests.bench.meter import Cost
from tests.bench.program import Sslctl, unserved
from tests.bench.report import Part, Row, Table, number, under
from tests.support import ROOT
from tests.support.suite import Progress

# The last commit before the releases that have the page, several CAs, and what came between.
COMMIT = "723f5b8fde45f7a231529f1fd50b179af88ef7ff"
_TODAY, _EARLIER = "today", "earlier"
_OPERATIONS = {
    "tick": "A tick with nothing due",
    "list": "`list --json` into a file",
    "add": "`add --from-file --no-wait`",
}


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    repetitions: int = 7
    domains: int = 100_000


@dataclass(slots=True)
class _Measured:
    """The costs of each operation by the program, one a repetition."""

    costs: dict[tuple[str, str], list[Cost]] = field(default_factory=dict)

    def add(self, program: str, operation: str, cost: Cost) -> None:
        self.costs.setdefault((program, operation), []).append(cost)

    def ratios(self, operation: str) -> list[float]:
        """Return today's time against the earlier one in each repetition."""
        pairs = zip(self.costs[_TODAY, operation], self.costs[_EARLIER, operation], strict=True)
        return [today.wall / earlier.wall for today, earlier in pairs]


def measure(folder: Path, sizes: Sizes, progress: Progress) -> Part:
    """Measure the operations with both programs, alternately, each on a store that its own schema made."""
    with TemporaryDirectory(dir=folder) as own:
        code = Path(own) / "code"
        if not _check_out(code):
            note = f"commit {COMMIT[:7]} is not in this clone"
            return Part([_row(what, sizes, [], note) for what in _OPERATIONS.values()])
        programs = {
            name: _settled(Path(own) / name, sizes, source, progress)
            for name, source in ((_EARLIER, code), (_TODAY, ROOT))
        }
        measured = _Measured()
        for repetition in range(sizes.repetitions):
            progress(f"{repetition + 1} of {sizes.repetitions}: tick, list, add, with both programs")
            for name, sslctl in programs.items():
                for operation, cost in _run_each(sslctl, sizes):
                    measured.add(name, operation, cost)
    rows = [_row(what, sizes, measured.ratios(operation)) for operation, what in _OPERATIONS.items()]
    return Part(rows, [_table(sizes, measured)])


def _check_out(folder: Path) -> bool:
    """Write the package of the earlier commit into `folder`; return False if there is no git, or not that commit."""
    archive = folder.with_suffix(".tar")
    command = ["git", "-C", str(ROOT), "archive", f"--output={archive}", COMMIT, "sslctl"]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")
    return True


def _settled(own: Path, sizes: Sizes, code: Path, progress: Progress) -> Sslctl:
    """Create a store with nothing due, for the program in `code`. No service is running."""
    progress(f"making a store of {sizes.domains:,} domains ({own.name})")
    own.mkdir()
    sslctl = replace(unserved(own), code=code)
    Fleet(sslctl).fill(names(sizes.domains, "settled"), Fleet.settled)
    # Some things are done once a day, or once for each database.
    sslctl.run("daemon-tick", "--quiet")
    return sslctl


def _run_each(sslctl: Sslctl, sizes: Sizes) -> Iterator[tuple[str, Cost]]:
    yield "tick", sslctl.run("daemon-tick", "--quiet")
    with TemporaryDirectory(dir=sslctl.state.parent) as own:
        output, listed = Path(own) / "list.json", Path(own) / "names.txt"
        yield "list", meter.run(sslctl.job("list", "--json", output=str(output)))
        listed.write_text("\n".join(names(sizes.domains, "added")))
        empty = replace(sslctl, state=Path(own) / "state")
        # The earlier one ends with 5, because the new domains are not in Success.
        yield "add", empty.run("add", "--no-wait", "--from-file", str(listed), accept=(0, 5))


def _row(what: str, sizes: Sizes, ratios: list[float], note: str = "") -> Row:
    label = f"{what}, {sizes.domains:,} domains, against commit {COMMIT[:7]}"
    return under(label, 1, "times", ratios, note)


def _table(sizes: Sizes, measured: _Measured) -> Table:
    rows = []
    for operation, what in _OPERATIONS.items():
        walls, cpus = [], []
        for name in (_EARLIER, _TODAY):
            costs = measured.costs[name, operation]
            walls.append(number(median(cost.wall for cost in costs)))
            cpus.append(number(median(cost.cpu_seconds for cost in costs)))
        rows.append((what, *walls, *cpus))
    head = ("operation", "earlier, s", "today, s", "earlier, CPU s", "today, CPU s")
    return Table(f"Both programs over {sizes.domains:,} domains", head, rows)
