"""Notify people of domains that need them: at most one message a tick, about all of these domains together.

Reported are the domains in certain statuses, the certificates that expire soon without a successor (`rules.expiry`), and bad
answers about so many domains that they were not believed. What is new is reported at once, an expiry once at each threshold,
other lasting trouble again after a configured time, and recovery once. A message that some URLs did not take is sent to these
again at the next tick.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from itertools import chain
from typing import Protocol

from sslctl.issuance.suspicions import Withheld
from sslctl.notify import Message, MessageKind, Notifier
from sslctl.rules.expiry import LONGEST, Expiring, find_expiring
from sslctl.rules.model import Domain, DomainSummary, Notice, NoticeKey, Source
from sslctl.rules.reasons import Code, Owner, Status
from sslctl.rules.renewal import RenewalRule
from sslctl.rules.singapore import format_duration
from sslctl.rules.status import derive_status
from sslctl.store.interface.domains import Domains, Query
from sslctl.store.interface.notices import Notices
from sslctl.text import clean, without_markup

Troubles = frozenset[tuple[str, str]]

_MOST_NAMES = 10
_MOST_PARTS = 8
# What is reported of a code whose answers were withheld.
_WITHHELD = "not believed"
# Hourly ticks are not an hour apart to the second; with a repeat of 24 hours, the tick at the same hour must notify.
_SLACK = timedelta(minutes=10)


class Recipients(Enum):
    """Which URLs a message goes to now; `MISSED` are those that did not take the last one."""

    NONE = auto()
    MISSED = auto()
    ALL = auto()


class _Store(Domains, Notices, Protocol):
    """What a notice is made from, and where the last one is stored."""


@dataclass(slots=True)
class Group:
    """`number` domains with the same reason. `names` has the first ones; `sentence` and `next_step` are the first one's."""

    status: Status
    code: Code
    also: Code | None
    owner: Owner
    sentence: str
    next_step: str
    number: int = 0
    names: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """Count the domain `name`."""
        self.number += 1
        if len(self.names) < _MOST_NAMES:
            self.names.append(name)

    @property
    def reason(self) -> str:
        """The code of the reason, with that of the second reason if there is one."""
        return f"{self.code} ({self.also})" if self.also else self.code


def notify(
    store: _Store,
    notifier: Notifier,
    statuses: Collection[Status],
    repeat: timedelta,
    now: datetime,
    *,
    rule: RenewalRule,
    withheld: Sequence[Withheld] = (),
) -> Notice:
    """Send the message that is due at `now`, if any; return and record the last message.

    It is about domains in `statuses`, certificates that `rule` does not renew in time, and bad answers that were `withheld`.
    Lasting trouble is reported again after `repeat`.
    """
    in_statuses, groups = group_troubles(store.listing(Query(statuses=tuple(statuses)), now).domains, now)
    reported = {name for name, _ in in_statuses}
    expiring = [each for each in find_all_expiring(store, now, rule) if each.name not in reported]
    lasting = in_statuses | {(each.code, _WITHHELD) for each in withheld}
    troubles = lasting | {(each.name, _expiry_label(each)) for each in expiring}
    before = store.notices().get(NoticeKey(), Notice())
    recipients = choose_recipients(before, troubles, lasting, repeat, now)
    if recipients is Recipients.NONE:
        return before
    everyone = range(1, len(notifier.schemes) + 1)
    after = replace(before, at=now, troubles=troubles) if recipients is Recipients.ALL else before
    message = compose(groups, expiring, withheld)
    missed = notifier.send(message, everyone if recipients is Recipients.ALL else before.missed)
    after = replace(
        after,
        missed=tuple(each.position for each in missed),
        missed_since=(before.missed_since or now) if missed else None,
        why="; ".join(map(str, missed)),
    )
    store.record_notices({NoticeKey(): after})
    return after


def find_all_expiring(store: Domains, now: datetime, rule: RenewalRule) -> list[Expiring]:
    """Return the certificates that expire soon without a successor, the soonest first."""
    soon = store.domains(Query(expiring_within=rule.before), now)
    text = store.domains(Query(source=Source.TEXT, expiring_within=LONGEST), now)
    found = {domain.name: find_expiring(domain, now, rule) for domain in chain(soon, text)}
    return sorted((each for each in found.values() if each is not None), key=lambda each: each.left)


def _expiry_label(expiring: Expiring) -> str:
    return f"expires within {format_duration(expiring.threshold)}"


def group_troubles(domains: Iterable[Domain | DomainSummary], now: datetime) -> tuple[Troubles, list[Group]]:
    """Return the domains in trouble with their statuses, and the same in groups by reason.

    The groups with the gravest status come first, then the largest.
    """
    troubles: set[tuple[str, str]] = set()
    groups: dict[tuple[object, ...], Group] = {}
    for domain in domains:
        verdict = derive_status(domain, now)
        if verdict.code is None or verdict.owner is None:
            # It recovered since the query.
            continue
        troubles.add((domain.name, verdict.status))
        also = verdict.also.code if verdict.also else None
        group = groups.setdefault(
            (verdict.status, verdict.code, also),
            Group(verdict.status, verdict.code, also, verdict.owner, verdict.sentence, verdict.next_step),
        )
        group.add(domain.name)
    order = sorted(groups.values(), key=lambda group: (group.status.rank, -group.number, group.code))
    return frozenset(troubles), order


def choose_recipients(
    before: Notice, troubles: Troubles, lasting: Troubles, repeat: timedelta, now: datetime
) -> Recipients:
    """Return who gets a message about `troubles` at `now`; `before` is the last one, `lasting` what is repeated."""
    is_new = not troubles <= before.troubles
    is_recovered = not troubles and before.troubles
    is_repeat_due = lasting and before.at is not None and now - before.at >= repeat - _SLACK
    if is_new or is_recovered or is_repeat_due:
        return Recipients.ALL
    return Recipients.MISSED if before.missed else Recipients.NONE


def compose(
    groups: Sequence[Group], expiring: Sequence[Expiring] = (), withheld: Sequence[Withheld] = ()
) -> Message:
    """Return the message about all of these; without any, the message that all domains have recovered."""
    if not (groups or expiring or withheld):
        return Message(
            MessageKind.RECOVERED,
            "sslctl: all domains have recovered",
            "None of the domains that sslctl reported needs attention any more.",
        )
    count: Counter[Status] = Counter()
    for group in groups:
        count[group.status] += group.number
    titles = [f"{each.code} about {count_domains(each.domains)}, not believed" for each in withheld]
    titles += [f"{count_domains(number)} in {status}" for status, number in count.items()]
    if expiring:
        soonest = format_duration(expiring[0].left)
        verb = "expires" if len(expiring) == 1 else "expire, the first"
        titles.append(f"{count_domains(len(expiring))} {verb} in {soonest}")
    parts = [
        *(each.describe() for each in withheld), *map(_part, groups), *map(_expiring_part, _by_cause(expiring)),
    ]  # fmt: skip
    if len(parts) > _MOST_PARTS:
        left = len(parts) - _MOST_PARTS
        parts[_MOST_PARTS:] = [f"And {left} more reasons: sslctl list --sort status"]
    return Message(MessageKind.TROUBLE, f"sslctl: {', '.join(titles)}", "\n\n".join(parts))


def _by_cause(expiring: Iterable[Expiring]) -> list[list[Expiring]]:
    """Return `expiring` by owner and code, the cause with the soonest expiry first."""
    causes: dict[tuple[Owner, Code], list[Expiring]] = {}
    for each in expiring:
        causes.setdefault((each.owner, each.code), []).append(each)
    return list(causes.values())


def _expiring_part(expiring: Sequence[Expiring]) -> str:
    first, number, left = expiring[0], len(expiring), len(expiring) - _MOST_NAMES
    sentence = without_markup(first.sentence)
    names = ", ".join(f"{each.name} ({format_duration(each.left)})" for each in expiring[:_MOST_NAMES])
    lines = [
        f"Expires soon, {first.code}: {count_domains(number)}; {first.owner} must act",
        sentence if number == 1 else f"{first.name}: {sentence}",
        first.next_step,
        names + (f" and {left} more: sslctl list --sort expires" if left > 0 else ""),
        f"sslctl view {first.name}",
    ]
    return "\n".join(map(_line, lines))


def _part(group: Group) -> str:
    first, left = group.names[0], group.number - len(group.names)
    # It quotes what servers of customers answered.
    sentence = without_markup(group.sentence)
    lines = [
        f"{group.status}, {group.reason}: {count_domains(group.number)}; {group.owner} must act",
        sentence if group.number == 1 else f"{first}: {sentence}",
        group.next_step,
        ", ".join(group.names) + (f" and {left} more" if left else ""),
        f"sslctl view {first}",
    ]
    return "\n".join(map(_line, lines))


def _line(text: str) -> str:
    # Long enough for a line with several names of the greatest length.
    return clean(text, 4000)


def count_domains(number: int) -> str:
    """Return a number of domains in words."""
    return "1 domain" if number == 1 else f"{number} domains"
