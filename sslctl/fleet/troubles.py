"""What people are notified of about single domains, in groups by who must act and by reason, the most urgent first.

Urgent is what expires soon, or has expired a short time ago: a site goes dark then. A domain that never had a certificate has
nothing to lose, and comes last.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Generic, TypeVar

from sslctl.rules.expiry import LONGEST, Expiring, find_expiring
from sslctl.rules.model import Domain, DomainSummary, Source
from sslctl.rules.onboarding import is_abandoned
from sslctl.rules.reasons import REASONS, Code, Owner, Status
from sslctl.rules.renewal import RenewalRule
from sslctl.rules.singapore import format_duration
from sslctl.rules.status import derive_status
from sslctl.rules.warnings import DomainWarning
from sslctl.store.interface.domains import Domains, Query

MOST_NAMES = 10
EXPIRES_SOON, NEW_WARNING, ABANDONED = "Expires soon", "New warning", "Abandoned"
_EXPIRES_WITHIN = "expires within "
_LAST = timedelta.max
_NOTHING_LEFT = timedelta(0)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why people are notified of the domain `name`.

    `heading` is its status, or `EXPIRES_SOON`, `NEW_WARNING` or `ABANDONED`; `label` is what is remembered of it, so that it is reported
    once. `also` is what prevents the renewal of an expired domain. `left` is the time until what is served expires, negative
    if it has; None if the domain never had a certificate.
    """

    name: str
    heading: str
    label: str
    code: Code
    also: Code | None
    owner: Owner
    sentence: str
    next_step: str
    left: timedelta | None

    @property
    def urgency(self) -> timedelta:
        """How far the expiry is from now, before or after it; the longest time if there is none."""
        return urgency_of(self.left)

    @property
    def shown(self) -> str:
        """The name, with the time that is left."""
        if self.left is None:
            return self.name
        if self.left > _NOTHING_LEFT:
            return f"{self.name} ({format_duration(self.left)} left)"
        return (
            f"{self.name} (dark)"
            if not self.left
            else f"{self.name} (expired {format_duration(-self.left)} ago)"
        )


T = TypeVar("T", bound=Trouble)


# Not with slots: Python 3.11 cannot combine them with `Generic`.
@dataclass
class Group(Generic[T]):
    """`number` troubles with the same heading, owner and reason.

    `worst` has the most urgent ones, at most `most`, or all if it is None; of equally urgent ones those added first come first.
    `longest` is the longest `urgency` of all.
    """

    most: int | None = MOST_NAMES
    number: int = 0
    worst: list[T] = field(default_factory=list)
    longest: timedelta = _NOTHING_LEFT

    def add(self, trouble: T) -> None:
        """Count `trouble`."""
        self.number += 1
        self.longest = max(self.longest, trouble.urgency)
        if self.most is None or len(self.worst) < self.most or trouble.urgency < self.worst[-1].urgency:
            insort(self.worst, trouble, key=lambda each: each.urgency)
            del self.worst[self.number if self.most is None else self.most :]

    @property
    def first(self) -> T:
        """The most urgent trouble."""
        return self.worst[0]

    @property
    def reason(self) -> str:
        """The code of the reason, with that of the second reason if there is one."""
        first = self.first
        return f"{first.code} ({first.also})" if first.also else first.code


class Groups(Generic[T]):
    """Groups of troubles, each with the `most` urgent ones. `labels` has each domain with what is reported of it."""

    def __init__(self, troubles: Iterable[T] = (), most: int | None = MOST_NAMES) -> None:
        self.labels: set[tuple[str, str]] = set()
        self._most = most
        self._groups: dict[tuple[str, Owner, Code, Code | None], Group[T]] = {}
        for trouble in troubles:
            self.add(trouble)

    def add(self, trouble: T) -> None:
        """Add `trouble` to its group."""
        self.labels.add((trouble.name, trouble.label))
        key = (trouble.heading, trouble.owner, trouble.code, trouble.also)
        self._groups.setdefault(key, Group(self._most)).add(trouble)

    def in_order(self) -> list[Group[T]]:
        """Return the groups, those of one owner together, by their most urgent trouble, then the largest first."""
        groups = self._groups.values()
        of_owner: dict[Owner, tuple[timedelta, int]] = {}
        for group in groups:
            rank = (group.first.urgency, -group.number)
            of_owner[group.first.owner] = min(rank, of_owner.get(group.first.owner, rank))
        return sorted(
            groups,
            key=lambda group: (
                of_owner[group.first.owner], group.first.owner, group.first.urgency, -group.number, group.first.code,
            ),
        )  # fmt: skip


def most_urgent(groups: Iterable[Group[T]], number: int) -> list[T]:
    """Return the most urgent troubles of all `groups`, at most `number`."""
    everything = chain.from_iterable(group.worst for group in groups)
    return sorted(everything, key=lambda each: each.urgency)[:number]


def find_status_trouble(domain: Domain | DomainSummary, now: datetime) -> Trouble | None:
    """Return the trouble of a domain that is not in Success, None if it is."""
    verdict = derive_status(domain, now)
    if verdict.code is None or verdict.owner is None:
        return None
    also = verdict.also.code if verdict.also else None
    status, code, owner = verdict.status, verdict.code, verdict.owner
    left = find_time_left(domain, now)
    return Trouble(domain.name, status, status, code, also, owner, verdict.sentence, verdict.next_step, left)


def find_abandoned(store: Domains, now: datetime) -> Iterator[Trouble]:
    """Yield the domains that are abandoned."""
    for domain in store.listing(Query(abandoned=True), now).domains:
        # One may have recovered since the query.
        if is_abandoned(domain, now) and (trouble := find_status_trouble(domain, now)) is not None:
            yield replace(trouble, heading=ABANDONED, label=ABANDONED)


def find_time_left(domain: Domain | DomainSummary, now: datetime) -> timedelta | None:
    """Return the time until what is served expires; 0 if nothing is served although there is a certificate; None without one."""
    current = domain.in_service
    if current is not None:
        return current.not_after - now
    if domain.wanted is None:
        return None
    return min(domain.wanted.not_after - now, _NOTHING_LEFT)


def urgency_of(left: timedelta | None) -> timedelta:
    """Return how far an expiry is from now, before or after it; the longest time if there is none."""
    return _LAST if left is None else abs(left)


def find_expiring_troubles(store: Domains, now: datetime, rule: RenewalRule) -> Iterator[Trouble]:
    """Yield the certificates that expire soon without a successor."""
    soon = store.domains(Query(expiring_within=rule.before), now)
    # A text certificate that somebody installed on C4 is not renewed either, whatever the source of the domain is.
    text = store.domains(Query(served_source=Source.TEXT, expiring_within=LONGEST), now)
    found = {domain.name: find_expiring(domain, now, rule) for domain in chain(soon, text)}
    yield from (_expiring_trouble(each) for each in found.values() if each is not None)


def _expiring_trouble(expiring: Expiring) -> Trouble:
    label = f"{_EXPIRES_WITHIN}{format_duration(expiring.threshold)}"
    return Trouble(
        expiring.name, EXPIRES_SOON, label, expiring.code, None, expiring.owner, expiring.sentence,
        expiring.next_step, expiring.left,
    )  # fmt: skip


def is_expiry(label: str) -> bool:
    """Return whether `label` is that of a certificate that expires soon."""
    return label.startswith(_EXPIRES_WITHIN)


def warning_trouble(domain: DomainSummary, warning: DomainWarning, now: datetime) -> Trouble:
    """Return `warning` about `domain` as a trouble."""
    return Trouble(
        domain.name, NEW_WARNING, warning.code, warning.code, None, warning.owner, warning.sentence,
        warning.next_step, find_time_left(domain, now),
    )  # fmt: skip


def doubt_trouble(domain: Domain, code: Code, found: str, wanted: str, now: datetime) -> Trouble:
    """Return that a domain in Success could not be confirmed, because of `code`, as a trouble."""
    reason = REASONS[code]
    sentence = reason.explain(found, wanted)
    return Trouble(
        domain.name, Status.SUCCESS, Status.SUCCESS, code, None, reason.owner, sentence, reason.next_step,
        find_time_left(domain, now),
    )  # fmt: skip


def count_domains(number: int) -> str:
    """Return a number of domains in words."""
    return "1 domain" if number == 1 else f"{number} domains"
