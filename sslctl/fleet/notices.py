"""Notify people: of trouble at once, of new warnings once a day.

Trouble is that of the whole fleet (`fleet_trouble`), domains in certain statuses, and certificates that expire soon without a
successor (`rules.expiry`). What is new is reported at once, an expiry once at each threshold, other lasting trouble again after
a configured time, and recovery once. A warning that began is reported in a digest, at most one in a day.

A domain that is abandoned (`rules.onboarding`) is reported in a digest once, and is no trouble any more: nobody is expected to act.
A snoozed domain (`rules.snoozing`) is left out of all messages. It counts as neither recovered nor reported, so people hear of it
when the snooze ends.

Each route gets a message about its domains, and the URLs without a route get the rest. A message that some URLs did not take is
sent to these again at the next tick.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from itertools import chain
from typing import Protocol

from sslctl.fleet.fleet_trouble import FleetTrouble, Label, find_ended, find_unreached, find_unusable
from sslctl.fleet.messages import DigestFact, compose_digest, compose_trouble
from sslctl.fleet.troubles import (
    Groups,
    Trouble,
    count_domains,
    find_abandoned,
    find_expiring_troubles,
    find_status_trouble,
    is_expiry,
    warning_trouble,
)
from sslctl.notify import Message, Notifier, Route, Undelivered, UnusableRoute, fail_all
from sslctl.rules.notice import Notice, NoticeKey, NoticeKind
from sslctl.rules.reasons import Status
from sslctl.rules.renewal import RenewalRule
from sslctl.rules.singapore import format_sgt
from sslctl.rules.snoozing import is_snoozed
from sslctl.rules.warnings import find_warnings
from sslctl.store.interface.domains import Domains, Query
from sslctl.store.interface.inventory import Unmanaged, UnmanagedDomains
from sslctl.store.interface.notices import Notices
from sslctl.system.threads import map_in_threads
from sslctl.text import instant
from sslctl.wording import C4

Labels = frozenset[Label]

_DAY = timedelta(days=1)
_SNOOZED = "snoozed"
_HELD: Label = ("renewal.max_per_day", "renewals are postponed")
_UNMANAGED = "domains that nobody manages"
# Hourly ticks are not an hour apart to the second; with a repeat of 24 hours, the tick at the same hour must notify.
_SLACK = timedelta(minutes=10)


class Recipients(Enum):
    """Which URLs a message goes to now; `MISSED` are those that did not take the last one."""

    NONE = auto()
    MISSED = auto()
    ALL = auto()


class _Store(Domains, Notices, UnmanagedDomains, Protocol):
    """What notices are made from, and where the last ones are stored."""


@dataclass(frozen=True, slots=True)
class NoticeRules:
    """Who is notified of what: domains in `statuses`, again after `repeat`, and what `renewal` does not renew in time."""

    statuses: tuple[Status, ...]
    repeat: timedelta
    renewal: RenewalRule


@dataclass(slots=True)
class _Inbox:
    """What concerns the URLs of one notifier.

    `elsewhere` are the domains whose trouble concerns other URLs only, or nobody; `snoozed` those whose trouble is snoozed.
    """

    notifier: Notifier
    groups: Groups[Trouble] = field(default_factory=Groups)
    warnings: list[Trouble] = field(default_factory=list)
    elsewhere: set[str] = field(default_factory=set)
    unmanaged: Unmanaged | None = None
    snoozed: set[str] = field(default_factory=set)
    fleet: list[FleetTrouble] = field(default_factory=list)
    lost: Sequence[str] = ()
    held: int = 0


@dataclass(frozen=True, slots=True)
class _Letter:
    """A message for the URLs of `notifier` at `positions`, and the notice `after` it if all of them take it."""

    notifier: Notifier
    message: Message
    positions: Collection[int]
    after: Notice


def notify(
    store: _Store,
    notifier: Notifier,
    routes: Sequence[Route],
    rules: NoticeRules,
    now: datetime,
    *,
    unusable_routes: Sequence[UnusableRoute] = (),
    fleet: Sequence[FleetTrouble] = (),
    lost: Sequence[str] = (),
    held_renewals: int = 0,
) -> dict[NoticeKey, Notice]:
    """Send the messages that are due at `now`, if any; return and record the last notice of each route and kind.

    What would go to `unusable_routes` goes to `notifier`; their last notices are kept until they can be used again.
    `fleet` is trouble of the whole fleet, `lost` the domains whose certificates this tick found lost on C4. `held_renewals` is the number of due renewals that wait until tomorrow.
    """
    before = store.notices()
    inboxes = {"": _Inbox(notifier, lost=lost, held=held_renewals, unmanaged=store.unmanaged())}
    inboxes |= {route.key: _Inbox(route.notifier) for route in routes}
    choose = _choose_inboxes(store, routes, inboxes)
    inboxes[""].fleet = [*fleet, *find_unreached(before, routes), *find_unusable(unusable_routes)]
    snoozed = {domain.name for domain in store.snoozed() if is_snoozed(domain, now)}
    abandoned = [trouble for trouble in find_abandoned(store, now) if trouble.name not in snoozed]
    reported = _sort_in(store, rules, now, choose, abandoned, snoozed)
    for inbox in inboxes.values():
        inbox.elsewhere = reported - {name for name, _ in inbox.groups.labels}
        inbox.snoozed = snoozed
    letters: dict[NoticeKey, _Letter] = {}
    unusable = {route.key for route in unusable_routes}
    after = {at: notice for at, notice in before.items() if at.route in unusable}
    for key, inbox in inboxes.items():
        for kind, write in ((NoticeKind.TROUBLE, _write_trouble), (NoticeKind.DIGEST, _write_digest)):
            at = NoticeKey(key, kind)
            found = write(inbox, before.get(at, Notice()), rules, now)
            if isinstance(found, _Letter):
                letters[at] = found
            else:
                after[at] = found
    after |= _send(letters, now)
    after = {at: notice for at, notice in after.items() if notice != Notice()}
    if after != before:
        store.record_notices(after)
    return after


def _choose_inboxes(
    store: Domains, routes: Sequence[Route], inboxes: Mapping[str, _Inbox]
) -> Callable[[Trouble], list[_Inbox]]:
    """Return a function that returns where a trouble belongs: in each route that matches, or in that without a route."""
    customers = store.customers() if any(route.customers for route in routes) else {}

    def choose(trouble: Trouble) -> list[_Inbox]:
        customer = customers.get(trouble.name, "")
        matching = [inboxes[route.key] for route in routes if route.matches(trouble.owner, customer)]
        return matching or [inboxes[""]]

    return choose


def _sort_in(
    store: Domains,
    rules: NoticeRules,
    now: datetime,
    choose: Callable[[Trouble], list[_Inbox]],
    abandoned: Sequence[Trouble],
    snoozed: Collection[str],
) -> set[str]:
    """Put each trouble and warning where it belongs, and return the domains with trouble, the `abandoned` ones included.

    The trouble of domains that are `snoozed` is left out.

    A domain is reported for one reason only, the gravest one.
    """
    reported = {trouble.name for trouble in abandoned}
    for trouble in abandoned:
        for inbox in choose(trouble):
            inbox.warnings.append(trouble)
    listing = store.listing(Query(statuses=rules.statuses), now)
    # One may have recovered since the query.
    in_statuses = filter(None, (find_status_trouble(domain, now) for domain in listing.domains))
    for trouble in chain(in_statuses, find_expiring_troubles(store, now, rules.renewal)):
        if trouble.name not in reported and trouble.name not in snoozed:
            reported.add(trouble.name)
            for inbox in choose(trouble):
                inbox.groups.add(trouble)
    for trouble in _warnings(store, now):
        if trouble.name not in reported and trouble.name not in snoozed:
            for inbox in choose(trouble):
                inbox.warnings.append(trouble)
    return reported


def _warnings(store: Domains, now: datetime) -> Iterator[Trouble]:
    for domain in store.listing(Query(warned=True), now).domains:
        for warning in find_warnings(domain, now):
            if warning.is_certain:
                yield warning_trouble(domain, warning, now)


def _write_trouble(inbox: _Inbox, before: Notice, rules: NoticeRules, now: datetime) -> _Letter | Notice:
    """Return the message of trouble that is due, or `before` without the expiries that have ended.

    These are new when the next certificate expires. Other trouble stays until the next message: it may come and go.
    """
    before = replace(before, troubles=_with_snoozed(before.troubles, inbox.snoozed))
    in_fleet = {each.label for each in inbox.fleet}
    # If somebody else must act now, the domain has not recovered: it stays reported here, so that its recovery will be.
    moved = frozenset(each for each in before.troubles if each[0] in inbox.elsewhere | inbox.snoozed)
    troubles = frozenset(inbox.groups.labels | in_fleet) | moved
    ended = find_ended(before.troubles, inbox.fleet)
    lasting = frozenset(each for each in inbox.groups.labels if not is_expiry(each[1])) | in_fleet
    has_news = bool(ended or inbox.lost)
    recipients = choose_recipients(before, troubles, lasting, rules.repeat, now, has_news=has_news)
    groups = inbox.groups.in_order()
    has_content = bool(groups or inbox.fleet or has_news or not moved)
    after = replace(
        before,
        troubles=frozenset(each for each in before.troubles if each in troubles or not is_expiry(each[1])),
    )
    if recipients is Recipients.NONE or not has_content:
        return after
    message = compose_trouble(groups, inbox.fleet, ended, inbox.lost, all_recovered=not moved)
    if recipients is Recipients.MISSED:
        return _Letter(inbox.notifier, message, before.missed, after)
    return _Letter(inbox.notifier, message, _all(inbox.notifier), replace(before, at=now, troubles=troubles))


def _with_snoozed(troubles: Labels, snoozed: Collection[str]) -> Labels:
    """Return what was reported, with another label for domains that are `snoozed`.

    They have not recovered, and what was reported of them is news when the snooze ends.
    """
    return frozenset((name, _SNOOZED if name in snoozed else label) for name, label in troubles)


def choose_recipients(
    before: Notice,
    troubles: Labels,
    lasting: Labels,
    repeat: timedelta,
    now: datetime,
    *,
    has_news: bool = False,
) -> Recipients:
    """Return who gets a message about `troubles` at `now`.

    `before` is the last notice, `lasting` what is repeated, and `has_news` whether something happened that is reported only once.
    """
    is_new = not troubles <= before.troubles
    is_recovered = not troubles and before.troubles
    is_repeat_due = lasting and _is_due(before, repeat, now)
    if is_new or is_recovered or is_repeat_due or has_news:
        return Recipients.ALL
    return Recipients.MISSED if before.missed else Recipients.NONE


def _is_due(before: Notice, interval: timedelta, now: datetime) -> bool:
    """Return whether `interval` has passed since the notice `before`, or it is from the future: the clock was ahead then."""
    return before.at is None or now - before.at >= interval - _SLACK or before.at - now > _SLACK


def _write_digest(inbox: _Inbox, before: Notice, _rules: NoticeRules, now: datetime) -> _Letter | Notice:
    """Return the digest that is due, or `before` without the warnings that have ended: they are new when they begin again."""
    current = {(each.name, each.label): each for each in inbox.warnings}
    facts = _find_facts(inbox)
    labels = frozenset(current) | frozenset(facts)
    news = labels - before.troubles
    if news and _is_due(before, _DAY, now):
        after = replace(before, at=now, troubles=labels, news=news)
        return _Letter(inbox.notifier, _digest(current, news, facts), _all(inbox.notifier), after)
    after = replace(before, troubles=before.troubles & labels, news=before.news & labels)
    if before.missed and after.news:
        return _Letter(inbox.notifier, _digest(current, after.news, facts), before.missed, after)
    return replace(after, missed=(), missed_since=None, why="") if before.missed else after


def _find_facts(inbox: _Inbox) -> dict[Label, DigestFact]:
    """Return the facts for the digest that are about many domains, by what makes them new."""
    facts: dict[Label, DigestFact] = {}
    if inbox.held:
        text = (
            f"Renewals that are due and wait until tomorrow because of renewal.max_per_day: {count_domains(inbox.held)}."
            " Nothing expires because of that; if it lasts, raise the limit. `sslctl forecast` shows the days to come."
        )
        facts[_HELD] = DigestFact("renewals are postponed", text)
    found = inbox.unmanaged
    if found is not None and found.new:
        text = (
            f"New in {C4} since {format_sgt(found.since)}, and managed by nobody: {count_domains(found.new)}; in all nobody manages"
            f" {count_domains(found.number)} of {C4}. `sslctl sync` shows them, `sslctl sync --add-missing` adds them."
            f" {'The first' if found.new > len(found.first) else 'New'}: {', '.join(found.first)}."
        )
        facts[_UNMANAGED, instant(found.since)] = DigestFact(f"new domains in {C4}", text)
    return facts


def _digest(
    current: Mapping[Label, Trouble], news: Iterable[Label], facts: Mapping[Label, DigestFact]
) -> Message:
    ordered = sorted(news)
    groups = Groups(current[label] for label in ordered if label in current)
    return compose_digest(groups.in_order(), [facts[label] for label in ordered if label in facts])


def _all(notifier: Notifier) -> range:
    return range(1, len(notifier.schemes) + 1)


def _send(letters: Mapping[NoticeKey, _Letter], now: datetime) -> dict[NoticeKey, Notice]:
    """Send all letters at once, because each may take as long as the slowest service; return the notices after them."""
    sent = map_in_threads(_deliver, list(letters.values()), len(letters), "notify")
    return {
        at: replace(
            letter.after,
            missed=tuple(each.position for each in missed),
            missed_since=(letter.after.missed_since or now) if missed else None,
            why="; ".join(map(str, missed)),
        )
        for (at, letter), missed in zip(letters.items(), sent, strict=True)
    }


def _deliver(letter: _Letter) -> list[Undelivered]:
    """Send `letter` and return the failed deliveries."""
    try:
        return letter.notifier.send(letter.message, letter.positions)
    except Exception as error:  # noqa: BLE001 - what was sent is recorded, or it would be sent at each tick
        why = f"got no message: sslctl failed ({type(error).__name__})"
        return fail_all(letter.notifier.schemes, letter.positions, why)
