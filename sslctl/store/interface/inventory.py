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
    """A managed domain; see `KnownDomain`. `is_unknown` is whether it is in Discard, `observed_at` when C4's record was last read."""

    name: str
    number: int
    is_unknown: bool
    observed_at: datetime | None = None


class Seen(NamedTuple):
    """What C4 was last seen to have for a managed domain: the fingerprint, None for nothing. For `number` see `KnownDomain`.

    `is_unknown` is whether the domain is in Discard, `is_suspected` whether it has a suspicion. `customer` is the one that C4
    last named, empty if it never named one.
    """

    name: str
    number: int
    fingerprint: str | None
    is_unknown: bool
    is_suspected: bool
    customer: str = ""


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
    """What the comparison with a control plane's inventory reads and records."""

    def known_domains(self, names: Sequence[str]) -> dict[str, KnownDomain]:
        """Return those of `names`, at most some thousand, that were ever added, by name."""

    def known_fingerprints(self, fingerprints: Collection[str]) -> set[str]:
        """Return those of `fingerprints` that are of a certificate of any domain, deleted ones too. It reads all certificates."""

    def managed_domains(self, after: int, limit: int) -> list[ManagedDomain]:
        """Return at most `limit` managed domains with a greater number than `after`, by number."""

    def seen(self, names: Sequence[str]) -> list[Seen]:
        """Return what C4 was last seen to have for those of `names`, at most some thousand, that are managed."""

    def confirm_seen(self, numbers: Sequence[int], at: datetime) -> None:
        """Bulk record that C4's records of the domains with these numbers were read at `at`, and are as they were known."""


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
