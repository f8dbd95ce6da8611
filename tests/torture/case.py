"""What a class of harm is made of: cases, each done many times, and what came of it.

A class is a module with a `TITLE`, a `TARGET` in words, and `run(folder, small=…)`, which gives its `Case`s one by
one. With `small` it does the same a few times only: that is the slice that `make test` runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of harm, done `tries` times.

    `violations` are sentences, one for each invariant that did not hold, with the moment at which it did not; none is
    well. `found` are figures in words, such as "whole again after at most 1 tick".
    """

    harm: str
    tries: int
    violations: Sequence[str] = ()
    found: str = ""

    @property
    def row(self) -> dict[str, str]:
        """The case as text, by column."""
        verdict = (
            "held" if not self.violations else f"{len(self.violations)} violations: {self.violations[0]}"
        )
        return {"harm": self.harm, "tries": f"{self.tries:,}", "verdict": verdict, "found": self.found}


class FaultClass(Protocol):
    """A class of harm, as its module."""

    TITLE: str
    TARGET: str

    def run(self, folder: Path, *, small: bool) -> Iterator[Case]:
        """Do the harm, with files in `folder`, an empty one."""


def require_held(harm: FaultClass, folder: Path) -> None:
    """Run the small slice of `harm` and fail where an invariant did not hold, or nothing was tried."""
    cases = list(harm.run(folder, small=True))
    assert cases
    assert all(case.tries > 0 for case in cases), [case.harm for case in cases if not case.tries]
    violations = [(case.harm, violation) for case in cases for violation in case.violations]
    assert violations == [], violations
