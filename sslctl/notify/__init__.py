"""How a person is reached. `Notifier` is the seam: apprise in a process of its own, whatever service it speaks to.

The URLs that lead to people are secrets: whoever has one can write to them. Nothing here tells more of a URL than its
place in the list and its scheme.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class MessageKind(StrEnum):
    """What a message is, in apprise's words: services show it as a colour or a symbol."""

    TROUBLE = "failure"
    RECOVERED = "success"
    TEST = "info"


@dataclass(frozen=True, slots=True)
class Message:
    """What a person is to read: plain text, cleaned line by line."""

    kind: MessageKind
    title: str
    body: str


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A URL that did not take a message: its place in the list, from 1, its scheme, and why (cleaned)."""

    position: int
    scheme: str
    why: str

    def __str__(self) -> str:
        return f"URL {self.position} ({self.scheme}) {self.why}"


class Notifier(Protocol):
    """Sends messages to people. `schemes` has the scheme of each URL, in order."""

    schemes: tuple[str, ...]

    def send(self, message: Message, positions: Collection[int]) -> list[Undelivered]:
        """Send `message` to the URLs at `positions`, from 1, and give those that did not take it, in order.

        Positions that there are not are left out. It never takes longer than a bounded time, nor raises because of
        what the other side does.
        """
