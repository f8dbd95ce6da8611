"""The history: append-only events, joined to one audit chain over all domains."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

from sslctl.rules.audit_chain import Audit, Head
from sslctl.rules.model import Domain, Event


class History(Protocol):
    """The events. Methods that change a domain write theirs in the same transaction."""

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
        """Verify the audit chain, and that `noted`, the head of an earlier time, is still part of it."""
