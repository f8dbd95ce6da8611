"""The Protocol of a notifier, which sends messages to people. `sender.AppriseNotifier` implements it with apprise.

The URLs of notifications are secrets: whoever has one can write to these people. Messages, logs and errors contain only a
URL's position in the list and its scheme.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from sslctl.rules.reasons import Owner


class MessageKind(StrEnum):
    """The type of a message, with apprise's values: services show it as a colour or a symbol."""

    TROUBLE = "failure"
    DIGEST = "warning"
    RECOVERED = "success"
    TEST = "info"


@dataclass(frozen=True, slots=True)
class Message:
    """A message to a person: plain text, cleaned line by line."""

    kind: MessageKind
    title: str
    body: str


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A failed delivery: the URL's position in the list, from 1, its scheme, and the reason (cleaned)."""

    position: int
    scheme: str
    why: str

    def __str__(self) -> str:
        return f"URL {self.position} ({self.scheme}) {self.why}"


def fail_all(schemes: Sequence[str], positions: Collection[int], why: str) -> list[Undelivered]:
    """Return a failed delivery, because of `why`, for each of the `positions` that `schemes` has."""
    return [
        Undelivered(number, scheme, why) for number, scheme in enumerate(schemes, 1) if number in positions
    ]


class Notifier(Protocol):
    """A sender of messages to people. `schemes` holds the scheme of each URL, in order."""

    schemes: tuple[str, ...]

    def send(self, message: Message, positions: Collection[int]) -> list[Undelivered]:
        """Send `message` to the URLs at `positions`, from 1, and return the failed deliveries, in order.

        Unknown positions are ignored. The call takes a bounded time and raises nothing, whatever the receiving service
        does.
        """


@dataclass(frozen=True, slots=True)
class Route:
    """URLs that receive the messages about some domains: those of `customers` for which one of `owners` must act.

    An empty set restricts nothing. `key` identifies the route among all of a configuration, whatever their order is.
    """

    key: str
    owners: frozenset[Owner]
    customers: frozenset[str]
    notifier: Notifier

    @property
    def title(self) -> str:
        """The route in words."""
        return _title(self.key)

    def matches(self, owner: Owner, customer: str) -> bool:
        """Return whether messages about a domain of `customer` go to this route while `owner` must act."""
        return (not self.owners or owner in self.owners) and (
            not self.customers or customer in self.customers
        )


@dataclass(frozen=True, slots=True)
class UnusableRoute:
    """A configured route that delivers nothing, and `why` (cleaned)."""

    key: str
    why: str

    @property
    def title(self) -> str:
        """The route in words."""
        return _title(self.key)


def _title(key: str) -> str:
    return f"the route {key}"
