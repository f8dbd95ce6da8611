"""The audit chain: an HMAC chain over all events, which shows any change made without the key file.

The chain has a state of 32 bytes. Each event advances it: HMAC-SHA256, with a key of the chain's own, over the state
before and the event. The event stores the first half of the new state, its MAC; the whole state is stored once. So a changed,
removed, added or moved event does not match the MACs from there on. If events are cut off at the end, the last one does not
match the stored state, and that state cannot be restored: a MAC holds only half of each state. An event that is added after
such a cut continues from the stored state, so the cut stays visible.

PostgreSQL stores no NUL. A state that was moved there has U+FFFD in place of those that old events contain, and counts as unchanged.

The chain cannot show that the whole database was replaced by an older copy. For that, note a head (`Head`) elsewhere.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import cast

from sslctl.text import clean

_MAC_BYTES = 16
_KEY_BYTES = 32
_NUL, _REPLACED = "\0", "\N{REPLACEMENT CHARACTER}"
# Of more than these, all are taken for NUL: each more doubles the time to find an event that was changed.
_MOST_REPLACED = 10

Record = tuple[int, int | None, str | None, str, str, str, str, int | None]
"""What the chain covers of an event: id, domain's id, domain's name, time, actor, kind, detail, version. An event
that concerns no single domain has neither id nor name."""

_encode = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Head:
    """A position in the audit chain: after the event `id`, whose MAC (hexadecimal) covers all events up to it."""

    id: int
    mac: str

    def __str__(self) -> str:
        return f"{self.id}:{self.mac}"


@dataclass(frozen=True, slots=True)
class Audit:
    """The result of a verification of the whole audit chain.

    The first `intact` events are unchanged; `head` is the position of the last of them. `broken` describes the first
    deviation after it (cleaned), or is empty. The chain was started at `begun_at`, over `inherited` events that existed
    before it. `archived` events that precede these were verified in archives.
    """

    intact: int
    head: Head | None
    begun_at: datetime
    inherited: int
    broken: str = ""
    archived: int = 0


@dataclass(frozen=True, slots=True)
class Chain:
    """The chain's secret key, when it began (RFC 3339), and how many events existed before and were taken in."""

    key: bytes
    begun_at: str
    inherited: int

    @classmethod
    def begin(cls, at: str, inherited: int) -> Chain:
        """Return a chain with a new key."""
        return cls(secrets.token_bytes(_KEY_BYTES), at, inherited)

    @classmethod
    def from_json(cls, text: str) -> Chain:
        """Return the chain that `to_json` wrote. Raise `ValueError` if `text` is not one."""
        try:
            content = json.loads(text)
            return cls(bytes.fromhex(content["key"]), content["begun_at"], content["inherited"])
        except (LookupError, TypeError) as error:
            raise ValueError("not an audit chain") from error

    def to_json(self) -> str:
        """Return all of it as text, to be encrypted: it holds the key."""
        return _encode({"key": self.key.hex(), "begun_at": self.begun_at, "inherited": self.inherited})

    def first(self) -> bytes:
        """Return the state before the first event."""
        return hmac.digest(self.key, _encode([self.begun_at, self.inherited]).encode(), "sha256")

    def advance(self, state: bytes, record: Record) -> bytes:
        """Return the state after the event `record`."""
        return hmac.digest(self.key, state + _encode(record).encode(), "sha256")


def mac_of(state: bytes) -> str:
    """Return the MAC that an event stores of the state after it, in hexadecimal digits."""
    return state[:_MAC_BYTES].hex()


class Walk:
    """A walk along the chain from one of its states, event by event. `head` is the position of the last event taken."""

    def __init__(self, chain: Chain, state: bytes | None = None, head: Head | None = None) -> None:
        self._chain = chain
        self.state = chain.first() if state is None else state
        self.head = head
        self.taken = 0

    def take(self, record: Record, mac: object, noted: Head | None = None) -> str:
        """Take the next event; return how it deviates from the chain or from `noted` (cleaned), empty if it does not."""
        states = (self._chain.advance(self.state, each) for each in _as_written(record))
        state = next((each for each in states if mac == mac_of(each)), None)
        if state is None:
            return f"{_shown(record)} does not match the chain: it, or its place, was changed"
        self.state, self.head, self.taken = state, Head(record[0], mac_of(state)), self.taken + 1
        if noted is not None and noted.id == record[0] and noted != self.head:
            return f"{_shown(record)} differs from the head {noted} that was noted"
        return ""

    def ended(self, broken: str = "") -> Audit:
        """Return the result of a verification that ended here."""
        begun_at = datetime.fromisoformat(self._chain.begun_at)
        return Audit(self.taken, self.head, begun_at, self._chain.inherited, broken)


def verify(
    walk: Walk, events: Iterable[tuple[Record, str | None]], stored: bytes, noted: Head | None
) -> Audit:
    """Compare the `events` after the start of `walk`, oldest first and each with its MAC, with the chain and its `stored` state.

    `noted` is a head of an earlier time, which must be among them, or be the start.
    """
    is_noted = noted is None or noted == walk.head
    for record, mac in events:
        broken = walk.take(record, mac, noted)
        if broken:
            return walk.ended(broken)
        is_noted = is_noted or noted == walk.head
    if walk.state != stored:
        return walk.ended(f"events after {walk.head or 'the beginning'} are missing")
    return walk.ended(
        "" if is_noted else f"event {noted and noted.id}, which was noted as a head, is missing"
    )


def _as_written(record: Record) -> Iterator[Record]:
    """Yield `record`, then the forms that it may have had when it was written, with a NUL where it has U+FFFD now."""
    yield record
    texts = record[2:7]
    number = sum(text.count(_REPLACED) for text in texts if text)
    if not number:
        return
    for choice in product(_NUL + _REPLACED, repeat=number) if number <= _MOST_REPLACED else [_NUL * number]:
        chosen = iter(choice)
        written = [text and _with(chosen, text) for text in texts]
        yield cast("Record", (*record[:2], *written, record[7]))


def _with(chosen: Iterator[str], text: str) -> str:
    """Return `text` with the next of `chosen` in place of each U+FFFD."""
    return "".join(next(chosen) if character == _REPLACED else character for character in text)


def _shown(record: Record) -> str:
    identity, _, name, at, _, kind, *_ = record
    return f"event {identity} ({clean(at)}, {clean(name or 'no domain')}, {clean(kind)})"
