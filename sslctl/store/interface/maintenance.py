"""Maintenance of the state as a whole: backup, damage, milestones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from sslctl.rules.model import Mark, Milestone


@dataclass(frozen=True, slots=True)
class Copy:
    """The content of a backup: the number of domains (deleted ones included) and certificates, and its size in bytes."""

    domains: int
    certificates: int
    size: int


class Maintenance(Protocol):
    """What operators and the tick do to the whole state."""

    def back_up(self, path: Path, *, force: bool = False) -> Copy:
        """Write a copy of everything but the key file to the new file `path`. Other processes may work in the meantime.

        The copy is read back before it gets that name. Raise `BadInput` if `path` cannot be written, or exists and
        `force` is false; raise `StateError` if the copy is damaged.
        """

    def require_right_clock(self) -> timedelta:
        """Return how far the clock of this machine is ahead of that of the machine with the database.

        Raise `Busy` if they are an hour or more apart.
        """

    def check_integrity(self, seconds: float) -> bool:
        """Search the state for damage for at most `seconds`, and return whether all of it was searched.

        Of a state that is too large for that, search only the schema. Nothing is written. Raise `StateError` if damage is found.
        """

    def continue_check(self, seconds: float) -> None:
        """Search a state of any size for damage for about `seconds`, from where the last call stopped.

        Other processes can write in the meantime. When the end is reached, record the milestone `CHECKED`; the next call starts
        again. Raise `StateError` if damage is found: every later call finds it at once, until it is repaired.
        """

    def check_domains(self, names: Sequence[str]) -> None:
        """Search what a pass over each of the domains `names` reads for damage. Raise `StateError` if damage is found."""

    def record_milestone(self, milestone: Milestone, detail: str, seconds: float | None = None) -> None:
        """Record that `milestone` was reached now, after so many `seconds` if that is known."""

    def milestones(self) -> dict[Milestone, Mark]:
        """Return the milestones that were reached, each as of its last time."""
