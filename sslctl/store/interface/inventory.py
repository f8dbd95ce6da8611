"""The domains and certificates that the state knows, to compare them with a control plane's inventory.

Each query is over a part of the fleet, so a comparison needs little memory however many domains there are.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
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


class Inventory(Protocol):
    """Queries for the comparison with a control plane's inventory."""

    def known_domains(self, names: Sequence[str]) -> dict[str, KnownDomain]:
        """Return those of `names`, at most some thousand, that were ever added, by name."""

    def known_fingerprints(self, fingerprints: Collection[str]) -> set[str]:
        """Return those of `fingerprints` that are of a certificate of any domain, deleted ones too. It reads all certificates."""

    def managed_domains(self, after: int, limit: int) -> list[ManagedDomain]:
        """Return at most `limit` managed domains with a greater number than `after`, by number."""
