"""Seals: where the history in the database begins, after older events were moved into archives."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime

from sslctl.rules.audit_chain import Head, mac_of

LEAST_KEEP_DAYS = 180
"""History of fewer days is never archived: orders of 120 days decide what the CA counts as a renewal, and charts show 91 days."""


@dataclass(frozen=True, slots=True)
class HistoryCut:
    """Where the history in the database begins: after the event `id`. What is missing is older than `until` (aware UTC)."""

    id: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Seal:
    """What the database keeps of an archive, encrypted: with the chain's whole state, an attacker could cut the history off there.

    The archive `number`, counted from 1, has the events after the id `after` up to the id `cut`, and `state` (hexadecimal) is the audit
    chain's state after the last of them. `until` is the time (RFC 3339) that everything in it is older than, `file` the archive's name,
    and `sha256` and `size` are those of the file.
    """

    number: int
    after: int
    cut: int
    state: str
    until: str
    file: str
    sha256: str
    size: int
    events: int
    certificates: int
    orders: int

    @classmethod
    def from_json(cls, text: str) -> Seal:
        """Return the seal that `to_json` wrote. Raise `ValueError` if `text` is not one."""
        try:
            return cls(**json.loads(text))
        except TypeError as error:
            raise ValueError("not a seal") from error

    def to_json(self) -> str:
        """Return all of it as text, to be encrypted."""
        return json.dumps(asdict(self))

    @property
    def head(self) -> Head:
        """The audit chain's head at the cut."""
        return Head(self.cut, mac_of(bytes.fromhex(self.state)))

    @property
    def ended_at(self) -> datetime:
        """The time that everything in the archive is older than."""
        return datetime.fromisoformat(self.until)

    def has(self, event: int) -> bool:
        """Return whether the archive has the event with this id."""
        return self.after < event <= self.cut

    def describe(self) -> str:
        """Return what the archive has, in words, as the history records it."""
        return (
            f"{self.events} events up to {self.cut}, {self.certificates} certificates and {self.orders} orders older than"
            f" {self.until} are in {self.file}, SHA-256 {self.sha256}"
        )
