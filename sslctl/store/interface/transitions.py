"""The status of each domain that the endpoint of the webhook accepted, and the messages that it is owed."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from sslctl.rules.transition import Transition, WebhookTrouble


class Transitions(Protocol):
    """Changes of status or reason since the last message that was accepted, at most one for each domain."""

    def note_transitions(self, now: datetime) -> None:
        """Record which domains changed as of `now`. The first call owes nothing: it records what is as known."""

    def take_transitions(self, now: datetime, most: int) -> list[Transition]:
        """Return at most `most` transitions, those never tried first, then those tried longest ago. Record that they are tried at `now`.

        Those that were tried at `now` already are left out.
        """

    def settle_transitions(self, accepted: Collection[Transition]) -> None:
        """Record that the endpoint accepted the messages about `accepted`."""

    def forget_transitions(self) -> None:
        """Delete all of this, because nothing is announced any more."""

    def record_webhook_error(self, now: datetime, why: str) -> None:
        """Record why messages were not accepted at `now`; an empty `why` ends the trouble."""

    def webhook_trouble(self) -> WebhookTrouble | None:
        """Return the trouble with the endpoint, None if there is none."""
