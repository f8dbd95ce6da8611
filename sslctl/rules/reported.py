"""What a tick prints again, and what was printed before: a pure function of the trouble, what was printed, and the time.

With ticks every 5 minutes, trouble that lasts for an hour would be 12 mails of cron.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

# A day less 2 hours: the ticks of two midnights do not end at the same minute, and what is rechecked then is to be printed daily.
REPEAT_AFTER = timedelta(hours=22)
# Trouble that comes and goes is one trouble. A little less than an hour, because ticks are not 5 minutes apart to the second.
OVER_AFTER = timedelta(minutes=55)


class Kind(StrEnum):
    """What is reported: a domain that is not well, trouble of the whole fleet, or an event, which is never over."""

    DOMAIN = "domain"
    FLEET = "fleet"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that a tick reports: `subject` in words, or the name of a domain, and how it is with it: `state`.

    Another `state` of the same subject is news.
    """

    kind: Kind
    subject: str
    state: str = ""


@dataclass(frozen=True, slots=True)
class Printed:
    """What was printed of a subject: each state with its last time, and since when there is no trouble, None if there is."""

    kind: Kind
    states: Mapping[str, datetime]
    gone_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class News:
    """The facts to print, the subjects whose trouble is over, and what is known to be printed after that."""

    facts: Collection[Fact]
    over: Sequence[str]
    after: Mapping[str, Printed]


def find_news(
    before: Mapping[str, Printed], facts: Sequence[Fact], lasting: Collection[str], now: datetime
) -> News:
    """Return what of `facts`, all that a tick found, is to be printed at `now`.

    A fact is news if its state was not printed for 22 hours. If one that was printed earlier lasts, all facts are printed again.
    `lasting` are subjects of `before` that a tick did not look at and whose trouble is not over. Trouble is over if it
    was gone for an hour. That of the fleet is reported by itself, that of domains together with anything else, or when all
    are well.
    """
    after = dict(before)
    news = [fact for fact in facts if not _is_printed(before, fact, now)]
    if any(fact.kind is not Kind.EVENT and _was_ever_printed(before, fact) for fact in news):
        news = list(facts)
    printed_now = set(news)
    for fact in facts:
        known = after.get(fact.subject)
        states = {} if known is None else _recent(known.states, now)
        if fact in printed_now:
            states[fact.state] = now
        after[fact.subject] = Printed(fact.kind, states)
    over = _find_over(after, {fact.subject for fact in facts}, lasting, now)
    is_fleet = any(after[subject].kind is Kind.FLEET for subject in over)
    troubled = {subject for subject, one in after.items() if one.kind is Kind.DOMAIN}
    if not (news or is_fleet or troubled <= set(over)):
        over = []
    for subject in over:
        del after[subject]
    return News(news, over, after)


def _find_over(
    after: dict[str, Printed], present: Collection[str], lasting: Collection[str], now: datetime
) -> list[str]:
    """Return the subjects whose trouble is over, and note in `after` since when that of others is gone."""
    over = []
    for subject in [subject for subject in after if subject not in present]:
        printed = after[subject]
        if printed.kind is Kind.EVENT:
            if not _recent(printed.states, now):
                del after[subject]
        elif subject in lasting:
            after[subject] = Printed(printed.kind, printed.states)
        else:
            since = min(printed.gone_since or now, now)
            after[subject] = Printed(printed.kind, printed.states, since)
            if now - since >= OVER_AFTER:
                over.append(subject)
    return over


def _is_printed(before: Mapping[str, Printed], fact: Fact, now: datetime) -> bool:
    """Return whether the state of `fact` was printed in the last 22 hours. A time in the future is that of a wrong clock."""
    at = before[fact.subject].states.get(fact.state) if fact.subject in before else None
    return at is not None and _is_recent(at, now)


def _was_ever_printed(before: Mapping[str, Printed], fact: Fact) -> bool:
    return fact.subject in before and fact.state in before[fact.subject].states


def _recent(states: Mapping[str, datetime], now: datetime) -> dict[str, datetime]:
    return {state: at for state, at in states.items() if _is_recent(at, now)}


def _is_recent(at: datetime, now: datetime) -> bool:
    return timedelta(0) <= now - at < REPEAT_AFTER
