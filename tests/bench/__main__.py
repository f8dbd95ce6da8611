"""Measure sslctl: `make bench`, or `make bench ARGS="issuance scale"` for some parts.

Figures go to build/bench.json, part by part, and to standard output. With `--publish` they also become those of
docs/scale.md (docs/scale.json and docs/scale.png; then `make docs`). `--small` runs everything with tiny numbers: it
shows that the bench works, and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tabulate import tabulate

from tests.bench import issuance, machine, plot, scale, ticks
from tests.bench.report import Part
from tests.bench.rivals import CERTBOT
from tests.support import ROOT

# Somebody else at work; a bench that ran just before shows too.
_BUSY = 0.5

Say = Callable[[str], None]
Measure = Callable[[Path, Say], Part]

_SMALL_ISSUANCE = issuance.Sizes(repetitions=1, domains=2, workers=2, slow=(2,), rivals=((CERTBOT, 1),))
_SMALL_SCALE = scale.Sizes(repetitions=1, starts=1, counts=(10, 20))
_SMALL_TICKS = ticks.Sizes(repetitions=1, domains=10)


def parts(*, small: bool) -> dict[str, Measure]:
    """Give the parts by name, in the order in which they run."""
    issuing = _SMALL_ISSUANCE if small else issuance.Sizes()
    growing = _SMALL_SCALE if small else scale.Sizes()
    ticking = _SMALL_TICKS if small else ticks.Sizes()
    return {
        "issuance": lambda folder, say: issuance.measure(folder, issuing, say),
        "scale": lambda folder, say: scale.measure(folder, growing, say),
        "ticks": lambda folder, say: ticks.measure(folder, ticking, say),
    }


def written(part: Part, seconds: float) -> dict[str, Any]:
    """Give what a part found as it is kept: with the verdicts, so that whoever shows it needs no rules."""
    return {
        "measured_on": f"{datetime.now(UTC):%Y-%m-%d}",
        "seconds": round(seconds),
        "rows": [{**row.shown, "value": row.value, "runs": list(row.runs)} for row in part.rows],
        "tables": [asdict(table) for table in part.tables],
        "facts": part.facts,
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
    """Run the parts asked for and keep their figures; give the exit code."""
    arguments = _arguments()
    say = _say if sys.stderr.isatty() else _ignore
    if machine.load() > _BUSY:
        print(f"the machine is busy (load {machine.load():.2f}); the figures will show it", file=sys.stderr)
    known = json.loads(arguments.out.read_text())["parts"] if arguments.out.exists() else {}
    with TemporaryDirectory(prefix="sslctl-bench-", ignore_cleanup_errors=True) as folder:
        for name, measure in parts(small=arguments.small).items():
            if arguments.parts and name not in arguments.parts:
                continue
            began = time.monotonic()
            part = measure(Path(folder), say)
            known[name] = written(part, time.monotonic() - began)
            _write(arguments.out, {"machine": machine.describe(), "parts": known})
            show(name, part)
    if arguments.publish:
        (ROOT / "docs" / "scale.json").write_text(arguments.out.read_text())
        plot.draw(known["scale"]["facts"], ROOT / "docs" / "scale.png")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join(parts(small=True))}; default: all"
    )
    parser.add_argument("--small", action="store_true", help="tiny numbers, to see that it works")
    parser.add_argument("--publish", action="store_true", help="make these the figures of docs/scale.md")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "build" / "bench.json", help="where the figures go"
    )
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(parts(small=True))
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    return arguments


def _say(what: str) -> None:
    print(f"\r\033[K{what} …", end="", file=sys.stderr, flush=True)


def _ignore(_what: str) -> None:
    """Say nothing: nobody watches."""


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    # Either way what was started is stopped, and the folders are removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
