"""What people are told, and when: at most one message a tick, of all troubled domains together.

What is new is told at once, and what lasts again after a while; that nothing is left, once. What some of the URLs did
not take is sent to these again at the next tick.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Protocol

from sslctl.notify import Message, MessageKind, Notifier
from sslctl.rules.model import Domain, DomainSummary, Notice
from sslctl.rules.reasons import Code, Owner, Status
from sslctl.rules.status import derive_status
from sslctl.store.interface.domains import Domains, Query
from sslctl.store.interface.notices import Notices
from sslctl.text import clean

Troubles = frozenset[tuple[str, Status]]

_MOST_NAMES = 10
_MOST_GROUPS = 8
# Ticks an hour apart are never so to the second: a day later the one at the same hour is to do.
_SLACK = timedelta(minutes=10)


class Errand(Enum):
    """To whom a message goes now."""

    NOBODY = auto()
    THE_MISSED = auto()
    ALL = auto()


class _Store(Domains, Notices, Protocol):
    """What a notice is made from, and where the last one is stored."""


@dataclass(slots=True)
class Group:
    """Domains with one reason and one next step. `names` are the first ones of them, `sentence` is of the very first."""

    status: Status
    code: Code
    also: Code | None
    owner: Owner
    sentence: str
    next_step: str
    number: int = 0
    names: list[str] = field(default_factory=list)


def notify(
    store: _Store, notifier: Notifier, statuses: Collection[Status], repeat: timedelta, now: datetime
) -> Notice:
    """Send what is to be told at `now` of domains in `statuses`; give, and keep, what has become of the last message."""
    troubles, groups = survey(store.listing(Query(statuses=tuple(statuses)), now).domains, now)
    before = store.last_notice()
    errand = decide(before, troubles, repeat, now)
    if errand is Errand.NOBODY:
        return before
    everyone = range(1, len(notifier.schemes) + 1)
    after = replace(before, at=now, troubles=troubles) if errand is Errand.ALL else before
    missed = notifier.send(compose(groups), everyone if errand is Errand.ALL else before.missed)
    after = replace(
        after,
        missed=tuple(each.position for each in missed),
        missed_since=(before.missed_since or now) if missed else None,
        why="; ".join(map(str, missed)),
    )
    store.record_notice(after)
    return after


def survey(domains: Iterable[Domain | DomainSummary], now: datetime) -> tuple[Troubles, list[Group]]:
    """Give which domains are troubled, and the same in groups: the gravest status first, then the largest."""
    troubles: set[tuple[str, Status]] = set()
    groups: dict[tuple[object, ...], Group] = {}
    for domain in domains:
        verdict = derive_status(domain, now)
        if verdict.code is None or verdict.owner is None:
            # It got well since it was looked for.
            continue
        troubles.add((domain.name, verdict.status))
        also = verdict.also.code if verdict.also else None
        group = groups.setdefault(
            (verdict.status, verdict.code, also),
            Group(verdict.status, verdict.code, also, verdict.owner, verdict.sentence, verdict.next_step),
        )
        group.number += 1
        if len(group.names) < _MOST_NAMES:
            group.names.append(domain.name)
    order = sorted(groups.values(), key=lambda group: (group.status.rank, -group.number, group.code))
    return frozenset(troubles), order


def decide(before: Notice, troubles: Troubles, repeat: timedelta, now: datetime) -> Errand:
    """Say to whom a message about `troubles` goes at `now`, `before` being the last one."""
    is_new = not troubles <= before.troubles
    is_cured = not troubles and before.troubles
    is_old = troubles and before.at is not None and now - before.at >= repeat - _SLACK
    if is_new or is_cured or is_old:
        return Errand.ALL
    return Errand.THE_MISSED if before.missed else Errand.NOBODY


def compose(groups: Sequence[Group]) -> Message:
    """Write the message about `groups`; where there are none, the one that all is well again."""
    if not groups:
        return Message(
            MessageKind.RECOVERED,
            "sslctl: all is well again",
            "No domain is left of those that sslctl told you of.",
        )
    count: Counter[Status] = Counter()
    for group in groups:
        count[group.status] += group.number
    title = ", ".join(f"{number} {_domains(number)} in {status}" for status, number in count.items())
    parts = [_part(group) for group in groups[:_MOST_GROUPS]]
    if len(groups) > _MOST_GROUPS:
        left = sum(group.number for group in groups[_MOST_GROUPS:])
        parts.append(f"And {left} more for other reasons: sslctl list --sort status")
    return Message(MessageKind.TROUBLE, f"sslctl: {title}", "\n\n".join(parts))


def _part(group: Group) -> str:
    first, left = group.names[0], group.number - len(group.names)
    reason = f"{group.code} ({group.also})" if group.also else group.code
    lines = [
        f"{group.status}, {reason}: {group.number} {_domains(group.number)}; {group.owner} must act",
        group.sentence if group.number == 1 else f"{first}: {group.sentence}",
        group.next_step,
        ", ".join(group.names) + (f" and {left} more" if left else ""),
        f"sslctl view {first}",
    ]
    return "\n".join(map(_line, lines))


def _line(text: str) -> str:
    # Names may be long, and there are several: no line is cut within what they can come to.
    return clean(text, 4000)


def _domains(number: int) -> str:
    return "domain" if number == 1 else "domains"
