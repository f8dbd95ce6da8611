"""Measure sslctl: `make bench`, or `make bench ARGS="issuance scale"` for some parts.

Results go to build/bench.json, part by part, and to standard output. With `--publish` they also become those of
docs/scale.md (docs/scale.json and docs/scale.png; then run `make docs`). `--small` runs everything with tiny numbers: it
shows that the bench works, and measures nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from tabulate import tabulate

from tests.bench import (
    beside_tick,
    earlier,
    history,
    hosts,
    issuance,
    million,
    page,
    plot,
    scale,
    ticks,
    years,
)
from tests.bench.competitors import CERTBOT
from tests.bench.report import Part
from tests.support import ROOT, machine
from tests.support.suite import Progress, Results, Suite, run_as_program, show_progress

# Above this load average something else is at work; a bench that ended just before shows too.
_BUSY = 0.5

Measure = Callable[[Path, Progress], Part]

_SMALL_ISSUANCE = issuance.Sizes(
    repetitions=1,
    adds=1,
    domains=2,
    workers=2,
    slow=(2,),
    batch=4,
    alone=2,
    alone_workers=1,
    competitors=((CERTBOT, 1),),
)
_SMALL_SCALE = scale.Sizes(repetitions=1, starts=1, counts=(10, 20))
_SMALL_TICKS = ticks.Sizes(repetitions=1, domains=10)
_SMALL_EARLIER = earlier.Sizes(repetitions=1, domains=20)
_SMALL_MILLION = million.Sizes(repetitions=1, counts=(100, 200, 400))
_SMALL_HISTORY = history.Sizes(repetitions=1, domains=20, versions=3)
_SMALL_YEARS = years.Sizes(repetitions=1, domains=60)
_SMALL_HOSTS = hosts.Sizes(hosts=(1, 2), domains=((2, 3),), is_durable=False)
_SMALL_PAGE = page.Sizes(
    repetitions=1,
    domains=100,
    versions=3,
    beside=beside_tick.Sizes(repetitions=1, domains=100, due=2, people=2, pauses=(0.1,), writer_seconds=0.1),
)


def parts(*, small: bool) -> dict[str, Measure]:
    """Return the parts by name, in the order in which they run."""
    issuing = _SMALL_ISSUANCE if small else issuance.Sizes()
    growing = _SMALL_SCALE if small else scale.Sizes()
    ticking = _SMALL_TICKS if small else ticks.Sizes()
    comparing = _SMALL_EARLIER if small else earlier.Sizes()
    many = _SMALL_MILLION if small else million.Sizes()
    aging = _SMALL_HISTORY if small else history.Sizes()
    keeping = _SMALL_YEARS if small else years.Sizes()
    reading = _SMALL_PAGE if small else page.Sizes()
    sharing = _SMALL_HOSTS if small else hosts.Sizes()
    return {
        "issuance": lambda folder, progress: issuance.measure(folder, issuing, progress),
        "scale": lambda folder, progress: scale.measure(folder, growing, progress),
        "earlier": lambda folder, progress: earlier.measure(folder, comparing, progress),
        "million": lambda folder, progress: million.measure(folder, many, progress),
        "ticks": lambda folder, progress: ticks.measure(folder, ticking, progress),
        "history": lambda folder, progress: history.measure(folder, aging, progress),
        "years": lambda folder, progress: years.measure(folder, keeping, progress),
        "page": lambda folder, progress: page.measure(folder, reading, progress),
        "hosts": lambda folder, progress: hosts.measure(folder, sharing, progress),
    }


def show(name: str, part: Part) -> None:
    """Print what a part found."""
    print(f"\n{name}\n")
    print(tabulate([row.shown for row in part.rows], headers="keys", maxcolwidths=[48, None, None, 32]))
    for table in part.tables:
        print(f"\n{table.title}\n")
        print(tabulate(table.rows, headers=table.head, disable_numparse=True))
    sys.stdout.flush()


def main() -> int:
    """Run the parts that the command line asks for and write their results; return the exit code."""
    suite = Suite("bench", "part", "parts", tuple(parts(small=True)), "scale")
    request = suite.parse(__doc__ or "")
    if machine.load() > _BUSY:
        print(f"the machine is busy (load {machine.load():.2f}); the figures will show it", file=sys.stderr)
    results = Results(request)
    measures = parts(small=request.small)
    with TemporaryDirectory(prefix="sslctl-bench-", ignore_cleanup_errors=True) as folder:
        for name in request.parts:
            began = time.monotonic()
            part = measures[name](Path(folder), show_progress)
            # With the verdicts, so that whoever shows the rows needs no rules.
            rows = [{**row.shown, "value": row.value, "runs": list(row.runs)} for row in part.rows]
            tables = [asdict(table) for table in part.tables]
            results.add(name, began, rows=rows, tables=tables, facts=part.facts)
            show(name, part)
    results.publish()
    if request.publish and "scale" in request.parts:
        plot.draw(results.of("scale")["facts"], ROOT / "docs" / "scale.png")
    return 0


if __name__ == "__main__":
    run_as_program(main)
