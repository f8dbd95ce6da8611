"""A change of a domain's status or reason, for the endpoint of the webhook."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sslctl.rules.reasons import Code, Status


class Standing(NamedTuple):
    """A status with its reason: None for Success; for Expired what prevents the renewal, if there is anything."""

    status: Status
    code: Code | None


@dataclass(frozen=True, slots=True)
class Transition:
    """The change of a domain since the last message about it that the endpoint accepted.

    `before` is None for a domain that no message was about, `after` for a deleted one. A tick saw the last of `changes` changes at
    `seen_at`. `message_id` stays the same for each attempt, until the domain changes again.
    """

    domain_id: int
    name: str
    before: Standing | None
    after: Standing | None
    seen_at: datetime
    changes: int
    message_id: str


@dataclass(frozen=True, slots=True)
class WebhookTrouble:
    """Messages that the endpoint has not accepted since `since`, `why`, and the number of domains `owed` a message."""

    since: datetime
    why: str
    owed: int
