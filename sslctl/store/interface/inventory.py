"""The domains and certificates that the state knows, to compare them with a control plane's inventory.

Each query is over a part of the fleet, so a comparison needs little memory however many domains there are.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol


class KnownDomain(NamedTuple):
    """A domain that was added at some time.

    `number` is its own, and grows with each new domain. `fingerprints` are those of its certificates, and of an adopted one.
    """

    name: str
    number: int
    is_managed: bool
    fingerprints: frozenset[str]


class ManagedDomain(NamedTuple):
    """A managed domain; see `KnownDomain`. `is_unknown` is whether it is in Discard."""

    name: str
    number: int
    is_unknown: bool


class Unmanaged(NamedTuple):
    """The domains that C4 had and nobody managed when the inventory was last compared: `number`. Missed ones do not count.

    `new` of them were first seen at `since`, the newest such time, and are not managed by now; `first` are the first of these by
    name.
    """

    number: int
    since: datetime
    new: int
    first: tuple[str, ...]


class Inventory(Protocol):
    """Queries for the comparison with a control plane's inventory."""

    def known_domains(self, names: Sequence[str]) -> dict[str, KnownDomain]:
        """Return those of `names`, at most some thousand, that were ever added, by name."""

    def known_fingerprints(self, fingerprints: Collection[str]) -> set[str]:
        """Return those of `fingerprints` that are of a certificate of any domain, deleted ones too. It reads all certificates."""

    def managed_domains(self, after: int, limit: int) -> list[ManagedDomain]:
        """Return at most `limit` managed domains with a greater number than `after`, by number."""


class UnmanagedDomains(Protocol):
    """The domains that a control plane has and nobody manages, recorded so that new ones are noticed.

    One that a comparison missed is kept until the next one, so that a list that was short once makes nothing new.
    """

    def unmanaged(self) -> Unmanaged | None:
        """Return the recorded domains; None if there are none or all are missed."""

    def unmanaged_named(self, names: Sequence[str]) -> dict[str, int]:
        """Return those of `names`, at most some thousand, that are recorded, with their numbers, which grow with each new one."""

    def unmanaged_numbers(self, after: int, limit: int) -> list[tuple[int, bool]]:
        """Return at most `limit` numbers of recorded domains that are greater than `after`, in order, each with whether it is missed."""

    def record_unmanaged(self, names: Sequence[str], at: datetime) -> None:
        """Bulk record that `names` were first seen at `at`; those that are recorded stay as they are."""

    def set_unmanaged_missed(self, numbers: Sequence[int], *, is_missed: bool) -> None:
        """Bulk record whether the last comparison missed the recorded domains with these numbers."""

    def forget_unmanaged(self, numbers: Sequence[int]) -> None:
        """Bulk forget the recorded domains with these numbers."""
