"""The history: append-only events, joined to one audit chain over all domains."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

from sslctl.rules.audit_chain import Audit, Head, Record, Walk
from sslctl.rules.history_seal import HistoryCut, Seal
from sslctl.rules.model import Domain, Event


class History(Protocol):
    """The events. Methods that change a domain write theirs in the same transaction.

    Events up to the newest cut (`history_cut`) are in archives and not returned any more.
    """

    def record_event(self, domain: Domain, kind: str, detail: str, version: int | None = None) -> None:
        """Append an event to the history of `domain`."""

    def events(self, domain: Domain) -> list[Event]:
        """Return the history of `domain`, oldest first."""

    def last_event(self) -> int:
        """Return the id of the last event, 0 if there is none."""

    def audit_trail(
        self,
        *,
        after: int | None = None,
        since: datetime | None = None,
        actor: str = "",
        domain: Domain | None = None,
    ) -> Iterator[tuple[str | None, Event]]:
        """Yield every event with the name of its domain (None if it concerns no single domain), oldest first.

        `after` (an event's id), `since`, `actor` (part of an actor's name) and `domain` restrict the events. With `after`
        earlier events are not read at all.
        """

    def verify_history(self, noted: Head | None = None) -> Audit:
        """Verify the audit chain, and that `noted`, the head of an earlier time, is still part of it.

        If older events are in archives, verify from the newest seal on. Raise `StateError` if a seal is not as it was made.
        """

    def walk_after(self, seal: Seal | None) -> Walk:
        """Return a walk along the audit chain that begins after the archive of `seal`, None for the chain's beginning."""

    def chained_events(self, after: int, last: int | None) -> Iterator[tuple[Record, str | None]]:
        """Yield the events with ids above `after` up to `last`, each with its MAC. None of them is verified."""

    def seals(self) -> list[Seal]:
        """Return the seals of all archives, the oldest first. Raise `StateError` if one is not as it was made, or is missing."""

    def history_cut(self) -> HistoryCut | None:
        """Return the cut at which the history in the database begins, None if there is none."""
