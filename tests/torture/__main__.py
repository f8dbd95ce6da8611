"""Hurt sslctl on purpose: `make torture`, or `make torture ARGS="kill disk"` for some classes of harm.

What came of it goes to build/torture.json, class by class, and to standard output. With `--publish` it also becomes
docs/reliability.json (then `make docs`). `--small` is the slice that `make test` runs. Ends with 1 where an invariant
(`invariants.py`) did not hold.
"""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from tabulate import tabulate

from tests.bench import machine
from tests.support import ROOT
from tests.torture.case import Case, FaultClass

CLASSES = (
    "kill", "power", "disk", "c4_faults", "ca_faults", "overlap", "clocks", "hostile_names", "probes", "hostile_files",
    "secrets_kept", "model_steps",
)  # fmt: skip


def main() -> int:
    """Run the classes asked for and keep what came of them; give the exit code."""
    arguments = _arguments()
    known = json.loads(arguments.out.read_text())["classes"] if arguments.out.exists() else {}
    held = True
    for name in arguments.classes or CLASSES:
        began = time.monotonic()
        harm = cast("FaultClass", importlib.import_module(f"tests.torture.{name}"))
        print(f"\n{harm.TITLE} ({name}); wanted: {harm.TARGET}", flush=True)
        with TemporaryDirectory(prefix="sslctl-torture-", ignore_cleanup_errors=True) as folder:
            cases = list(_shown(harm, Path(folder), small=arguments.small))
        held = held and not any(case.violations for case in cases)
        print(tabulate([case.row for case in cases], headers="keys", maxcolwidths=[44, None, 40, 40]))
        known[name] = _written(harm, cases, time.monotonic() - began)
        _write(arguments.out, {"machine": machine.describe(), "classes": known})
    if arguments.publish:
        (ROOT / "docs" / "reliability.json").write_text(arguments.out.read_text())
    return 0 if held else 1


def _shown(harm: FaultClass, folder: Path, *, small: bool) -> list[Case]:
    cases = []
    for case in harm.run(folder, small=small):
        cases.append(case)
        if sys.stderr.isatty():
            print(f"\r\033[K{case.harm}: {case.row['verdict']}", end="", file=sys.stderr, flush=True)
    return cases


def _written(harm: FaultClass, cases: list[Case], seconds: float) -> dict[str, Any]:
    """Give what came of a class as it is kept."""
    return {
        "title": harm.TITLE,
        "target": harm.TARGET,
        "measured_on": f"{datetime.now(UTC):%Y-%m-%d}",
        "seconds": round(seconds),
        "cases": [{**case.row, "violations": list(case.violations)[:20]} for case in cases],
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("classes", nargs="*", metavar="CLASS", help=f"of {', '.join(CLASSES)}; default: all")
    parser.add_argument("--small", action="store_true", help="a few tries each, to see that it works")
    parser.add_argument(
        "--publish", action="store_true", help="make these the figures of docs/reliability.md"
    )
    parser.add_argument(
        "--out", type=Path, default=ROOT / "build" / "torture.json", help="where the figures go"
    )
    arguments = parser.parse_args()
    unknown = set(arguments.classes) - set(CLASSES)
    if unknown:
        parser.error(f"there is no class {', '.join(sorted(unknown))}")
    return arguments


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
