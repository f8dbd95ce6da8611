"""What people hear in the simulation of two years, and whether they hear of each dark site in time."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sslctl.notify import Message
from sslctl.rules.reasons import Code
from sslctl.rules.singapore import SGT
from tests.torture.years_edge import Dark, Edge

NAME = re.compile(r"\bwww\.[a-z]+-[0-9]{4}\.example\b")
_CODE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b|\bNXDOMAIN\b|\bQUEUED\b|\bDEPARTED\b")
# A paragraph that is about more domains than it names.
_COVERS = re.compile(r"\b[0-9,]+ more\b|about [0-9,]+ served domains")
_HIDING = {Code.C4_UNANSWERED, Code.C4_TOKEN_REFUSED, Code.C4_UNKNOWN_DOMAIN}
_MARGIN = timedelta(days=7)
# Retries and the daily recheck come within a day after a cause has ended.
_GRACE = timedelta(hours=25)


@dataclass(eq=False, slots=True)
class Cause:
    """Why sites may be dark: `names`, or all. `codes` are the reasons that a message about it may name."""

    what: str
    codes: frozenset[Code]
    names: Collection[str] | None
    begin: datetime
    end: datetime | None = None

    @property
    def hides_losses(self) -> bool:
        """Whether sslctl cannot see what C4 has, or cannot do anything about it."""
        return not self.codes or bool(self.codes & _HIDING)

    def is_active(self, name: str, at: datetime) -> bool:
        """Return whether it can prevent at `at` that `name` is renewed."""
        is_about = self.names is None or name in self.names
        return is_about and self.begin <= at and (self.end is None or at <= self.end + _GRACE)


@dataclass(slots=True)
class Loss:
    """A certificate that C4 lost. `notified` is whether a message reported it within a day."""

    name: str
    at: datetime
    healed_at: datetime | None = None
    notified: bool = False


@dataclass(frozen=True, slots=True)
class Read:
    """A message as a person reads it: the domains that it names, and the codes of paragraphs about more than they name."""

    at: datetime
    names: frozenset[str]
    codes: frozenset[str]
    lines: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A tick that ended at `at`. Only one that is usable could notify people."""

    at: datetime
    is_usable: bool
    has_pinged: bool


@dataclass(slots=True)
class Heard:
    """All that people hear: `messages`, and what they would see of the `ticks`."""

    edge: Edge
    causes: list[Cause] = field(default_factory=list)
    messages: list[Read] = field(default_factory=list)
    ticks: list[Ended] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)

    def end_tick(
        self, at: datetime, *, messages: Sequence[Message], is_usable: bool, has_pinged: bool
    ) -> None:
        """Record a tick that ended at `at`, and the `messages` that were delivered."""
        self.ticks.append(Ended(at, is_usable, has_pinged))
        self.messages += [_read(at, message) for message in messages]
        for loss in self.losses:
            if loss.healed_at is None and self.edge.is_lit(loss.name):
                loss.healed_at = at

    def of_dark(self, dark: Dark) -> list[Cause]:
        """Return the causes of a dark site: one that holds at the end, and those before it without a gap, up to the margin."""
        found: list[Cause] = []
        at, margin_at = dark.begin, _margin_at(dark)
        while new := [each for each in self.causes if each not in found and each.is_active(dark.name, at)]:
            found += new
            at = min(each.begin for each in found)
            if at <= margin_at:
                break
        return found

    def violations(self) -> Iterator[str]:
        """Yield a sentence for each dark site that nobody heard of in time, and for each loss."""
        for dark in self.edge.dark:
            yield from self._judge_dark(dark)
        for loss in self.losses:
            yield from self._judge_loss(loss)

    def _judge_dark(self, dark: Dark) -> Iterator[str]:
        causes = self.of_dark(dark)
        if not causes:
            yield f"I10: {dark.name} is dark from {dark.begin} on, although nothing was wrong with it"
            return
        begin = min(cause.begin for cause in causes)
        deadline = self._deadline(max(begin, _margin_at(dark)))
        if deadline is None:
            return
        # Whatever prevented the renewal at that time is a reason that people can act on.
        at_deadline = [cause for cause in self.causes if cause.is_active(dark.name, deadline)]
        codes = frozenset[Code]().union(*(cause.codes for cause in [*causes, *at_deadline]))
        if not self._is_heard(dark.name, codes, begin, deadline):
            why = ", ".join(cause.what for cause in causes)
            yield (
                f"I12: {dark.name} is dark from {dark.begin} on, and no message said so by {deadline}; since {begin}: {why}"
            )

    def _deadline(self, at: datetime) -> datetime | None:
        """Return the end of the first tick at `at` or later that could notify people; None if there was none.

        The monitor of the pings reports those that could not.
        """
        first = bisect_left(self.ticks, at, key=lambda tick: tick.at)
        return next((tick.at for tick in self.ticks[first:] if tick.is_usable), None)

    def _is_heard(self, name: str, codes: frozenset[Code], begin: datetime, end: datetime) -> bool:
        first = bisect_left(self.messages, begin, key=lambda message: message.at)
        for message in self.messages[first:]:
            if message.at > end:
                return False
            if name in message.names or codes & message.codes:
                return True
        return False

    def _judge_loss(self, loss: Loss) -> Iterator[str]:
        loss.notified = self._is_heard(loss.name, frozenset({Code.C4_LOST}), loss.at, loss.at + _GRACE)
        if any(cause.is_active(loss.name, loss.at) and cause.hides_losses for cause in self.causes):
            return
        if loss.healed_at is None or loss.healed_at > loss.at + _GRACE:
            yield f"I12: C4 lost the certificate of {loss.name} at {loss.at}; healed at {loss.healed_at}"
        if not loss.notified:
            yield f"I12: C4 lost the certificate of {loss.name} at {loss.at}, and nobody heard of it within a day"

    def days(self) -> Counter[str]:
        """Return the number of messages by day in Singapore."""
        return Counter(f"{message.at.astimezone(SGT):%Y-%m-%d}" for message in self.messages)

    def silent_failures(self) -> Iterator[str]:
        """Yield a sentence for each tick that could not notify people although the monitor got its ping."""
        for tick in self.ticks:
            if tick.has_pinged and not tick.is_usable:
                yield f"I12: the tick at {tick.at} could notify nobody, and sent its ping"


def _margin_at(dark: Dark) -> datetime:
    """Return when the site should have been renewed."""
    return dark.begin - _MARGIN if dark.has_expired else dark.begin


def _read(at: datetime, message: Message) -> Read:
    names, codes = set[str](), set[str]()
    for paragraph in f"{message.title}\n\n{message.body}".split("\n\n"):
        names.update(NAME.findall(paragraph))
        if _COVERS.search(paragraph):
            codes.update(_CODE.findall(paragraph))
    return Read(at, frozenset(names), frozenset(codes), message.body.count("\n") + 2)
