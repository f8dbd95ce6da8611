"""A DNS record that must be set, changed or removed so that a certificate can be issued, as data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DnsRecord:
    """The records of one type at one name, as DNS has them and as they must be.

    `name` is the owner name, a lower-case A-label without trailing dot. `current` and `wanted` are the data of each record in
    the form of a zone file (RFC 1035 section 5.1), in printable ASCII, and names in them are without trailing dot. An empty
    `current` means that DNS has no such record, an empty `wanted` that all of them must be removed. `wanted` is None if
    sslctl does not know the data that is needed.
    """

    type: str
    name: str
    current: tuple[str, ...]
    wanted: tuple[str, ...] | None

    @property
    def needed(self) -> tuple[str, ...]:
        """What must be done, for people: the data to set, or "remove", or "not known"."""
        return ("not known",) if self.wanted is None else self.wanted or ("remove",)

    def to_json(self) -> dict[str, object]:
        """Return the fields of the record in JSON."""
        return {
            "type": self.type,
            "name": self.name,
            "current": list(self.current),
            "wanted": None if self.wanted is None else list(self.wanted),
        }

    def __str__(self) -> str:
        return f"{self.type} {self.name} -> {', '.join(self.needed)}"


def join_records(records: Iterable[DnsRecord]) -> tuple[DnsRecord, ...]:
    """Return `records` without repetition, in their order."""
    return tuple(dict.fromkeys(records))
