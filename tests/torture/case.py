"""A class of faults: cases, each tried many times, and what came of them."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

CLASSES = (
    "kill", "secret_leaks", "c4_faults", "concurrency", "hostile_names", "hostile_files", "clocks", "ca_faults", "several_cas", "ssrf",
    "namespaces_and_clocks", "years_of_faults", "hosts_kill", "hosts_race", "server_loss",
    "disk", "random_steps", "wrong_words", "slips", "restores", "busy_database", "power",
    "hosts_network",
)  # fmt: skip
"""The classes of faults by the names of their modules, those with the longest small slices first."""


@dataclass(frozen=True, slots=True)
class Case:
    """One fault that was injected `tries` times.

    `violations` has one sentence for each invariant that did not hold, with the moment. `found` are figures in words,
    such as "recovered after at most 1 tick".
    """

    fault: str
    tries: int
    violations: Sequence[str] = ()
    found: str = ""

    @property
    def row(self) -> dict[str, str]:
        """The case as text, by column."""
        verdict = (
            "held" if not self.violations else f"{len(self.violations)} violations: {self.violations[0]}"
        )
        return {"fault": self.fault, "tries": f"{self.tries:,}", "verdict": verdict, "found": self.found}


class FaultClass(Protocol):
    """A class of faults, which is a module. `TITLE` and `TARGET` are for its readers."""

    TITLE: str
    TARGET: str

    def run(self, folder: Path, *, small: bool) -> Iterator[Case]:
        """Inject the faults, with files in the empty folder `folder`; with `small` only the slice that `make test` runs."""


def load(name: str) -> FaultClass:
    """Return the class of faults `name`, one of `CLASSES`."""
    return cast("FaultClass", importlib.import_module(f"tests.torture.{name}"))


def describe_exit_codes(codes: Counter[int]) -> str:
    """Return how often commands ended with which exit code."""
    return "exit codes: " + ", ".join(f"{code} ({count}x)" for code, count in sorted(codes.items()))
