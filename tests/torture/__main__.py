"""Inject faults into sslctl: `make torture`, or `make torture ARGS="kill disk"` for some classes of faults.

Results go to build/torture.json, class by class, and to standard output. With `--publish` they also become
docs/reliability.json (then run `make docs`). `--small` is the slice that `make test` runs. The exit code is 1 if an
invariant of `invariants.py` did not hold.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tabulate import tabulate

from tests.support.suite import Results, Suite, run_as_program, show_progress
from tests.torture.case import CLASSES, Case, FaultClass, load

_SUITE = Suite("torture", "class", "classes", CLASSES, "reliability")


def main() -> int:
    """Run the classes that the command line asks for and write their results; return the exit code."""
    request = _SUITE.parse(__doc__ or "")
    results = Results(request)
    held = True
    for name in request.parts:
        began = time.monotonic()
        faults = load(name)
        print(f"\n{faults.TITLE} ({name}); wanted: {faults.TARGET}", flush=True)
        cases = _run(faults, small=request.small)
        held = held and not any(case.violations for case in cases)
        print(tabulate([case.row for case in cases], headers="keys", maxcolwidths=[44, None, 40, 40]))
        shown = [{**case.row, "violations": list(case.violations)[:20]} for case in cases]
        results.add(name, began, title=faults.TITLE, target=faults.TARGET, cases=shown)
    results.publish()
    return 0 if held else 1


def _run(faults: FaultClass, *, small: bool) -> list[Case]:
    cases = []
    with TemporaryDirectory(prefix="sslctl-torture-", ignore_cleanup_errors=True) as folder:
        for case in faults.run(Path(folder), small=small):
            cases.append(case)
            show_progress(f"{case.fault}: {case.row['verdict']}")
    return cases


if __name__ == "__main__":
    run_as_program(main)
