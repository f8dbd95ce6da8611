"""What `make bench` and `make torture` share: arguments, progress, the results in build/, and how the program ends."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from tests.support import ROOT, machine

Progress = Callable[[str], None]
"""Receives what is being done now, for whoever watches the terminal."""


@dataclass(frozen=True, slots=True)
class Suite:
    """A program of several parts that can be run one by one.

    `kind` names one part in messages and `kinds` is the key of all of them in the results. `published` is the page in
    docs/ that shows the results, without its ending.
    """

    name: str
    kind: str
    kinds: str
    parts: Sequence[str]
    published: str

    def parse(self, description: str, arguments: Sequence[str] | None = None) -> Request:
        """Read the command line, whose first line of help is that of `description`. Exit with 2 for an unknown part."""
        parser = argparse.ArgumentParser(prog=f"make {self.name}", description=description.partition("\n")[0])
        parser.add_argument(
            "parts", nargs="*", metavar=self.kind.upper(), help=f"of {', '.join(self.parts)}; default: all"
        )
        parser.add_argument("--small", action="store_true", help="the slice that `make test` runs")
        parser.add_argument(
            "--publish", action="store_true", help=f"also write the results to docs/{self.published}.json"
        )
        parser.add_argument(
            "--out", type=Path, default=ROOT / "build" / f"{self.name}.json", help="the file of the results"
        )
        found = parser.parse_args(arguments)
        unknown = set(found.parts) - set(self.parts)
        if unknown:
            parser.error(f"there is no {self.kind} {', '.join(sorted(unknown))}")
        return Request(self, tuple(found.parts or self.parts), found.out, found.small, found.publish)


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for. Results are published in `folder`."""

    suite: Suite
    parts: Sequence[str]
    out: Path
    small: bool
    publish: bool
    folder: Path = ROOT / "docs"


class Results:
    """The results in `request.out`: those of the parts that ran now, and those of the others from earlier runs."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._kinds = request.suite.kinds
        out = request.out
        self._known: dict[str, Any] = json.loads(out.read_text())[self._kinds] if out.exists() else {}

    def add(self, part: str, began: float, **found: object) -> None:
        """Write what `part` found. `began` is the value of `time.monotonic` at its start."""
        measured = {
            "measured_on": f"{datetime.now(UTC):%Y-%m-%d}",
            "seconds": round(time.monotonic() - began),
        }
        self._known[part] = {**measured, **found}
        self._write(self._request.out, self._known)

    def _write(self, file: Path, found: dict[str, Any]) -> None:
        content = {"machine": machine.describe(), self._kinds: found}
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    def of(self, part: str) -> dict[str, Any]:
        """Return what `part` found, now or in an earlier run. Raise `KeyError` if it never ran."""
        found: dict[str, Any] = self._known[part]
        return found

    def publish(self) -> None:
        """Make these the results that the documentation shows, if the command line asks for it.

        It keeps the published results of the parts that did not run now.
        """
        if not self._request.publish:
            return
        page = self._request.folder / f"{self._request.suite.published}.json"
        published = json.loads(page.read_text())[self._kinds] if page.exists() else {}
        published |= {part: self._known[part] for part in self._request.parts}
        in_order = {part: published[part] for part in self._request.suite.parts if part in published}
        self._write(page, in_order)


def show_progress(text: str) -> None:
    """Replace the last line of the terminal by `text`; do nothing if standard error is not a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text} …", end="", file=sys.stderr, flush=True)


def run_as_program(main: Callable[[], int]) -> NoReturn:
    """Run `main` and exit with its exit code, or with 130 after SIGINT or SIGTERM.

    Both raise `KeyboardInterrupt`, so that every context manager stops its processes and removes its folders.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
