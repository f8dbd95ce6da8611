"""Everything that needs a person, in groups by owner and reason, the most urgent first.

A domain is in one group for each reason why it needs a person (`rules.concerns`). A domain that is abandoned or snoozed is only counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sslctl.fleet.hidden import Hidden
from sslctl.fleet.troubles import MOST_NAMES, Group, Groups, Trouble, find_time_left
from sslctl.rules.concerns import Concern, find_concerns
from sslctl.rules.expiry import late_within
from sslctl.rules.model import Domain
from sslctl.rules.reasons import Owner
from sslctl.rules.renewal import RenewalRule
from sslctl.store.interface.domains import Domains, Query, Sort


@dataclass(frozen=True, slots=True)
class Task(Trouble):
    """A reason why `domain` needs a person."""

    domain: Domain
    concern: Concern


@dataclass(frozen=True, slots=True)
class Todo:
    """What needs a person, in the order of `Groups`.

    `domains` counts the domains, each once, and `owners` those for which each owner must act. `hidden` are those that would be
    among them otherwise.
    """

    groups: list[Group[Task]]
    domains: int
    owners: Mapping[Owner, int]
    hidden: Hidden


def find_todo(
    store: Domains, filters: Query, now: datetime, rule: RenewalRule, most: int | None = MOST_NAMES
) -> Todo:
    """Return what needs a person at `now`, of what `filters` select; each group has the `most` urgent domains, or all for None.

    Owners, reasons and warnings select reasons why a person is needed, the other filters domains.
    """
    query = replace(
        filters, owners=(), reasons=(), warnings=(), sort=Sort.URGENCY, needing_within=late_within(rule)
    )  # fmt: skip
    groups: Groups[Task] = Groups(most=most)
    number, hidden = 0, Hidden()
    owners: Counter[Owner] = Counter()
    for domain in store.domains(query, now):
        concerns = [each for each in find_concerns(domain, now, rule) if _is_selected(each, filters)]
        if not concerns or hidden.counts(domain, now):
            continue
        number += 1
        owners.update({concern.owner for concern in concerns})
        for task in _tasks(domain, concerns, now):
            groups.add(task)
    return Todo(groups.in_order(), number, owners, hidden)


def by_customer(tasks: Iterable[Task]) -> dict[str, list[Task]]:
    """Return `tasks` by customer, empty for none, in their order."""
    found: dict[str, list[Task]] = {}
    for task in tasks:
        found.setdefault(task.domain.customer, []).append(task)
    return found


def find_deadline(task: Task, now: datetime) -> datetime | None:
    """Return when the site goes dark, or has gone dark; None if that is not known, or there never was a certificate."""
    if task.left is None or (task.domain.in_service is None and not task.left):
        return None
    return now + task.left


def _is_selected(concern: Concern, filters: Query) -> bool:
    return (
        (not filters.owners or concern.owner in filters.owners)
        and (not filters.reasons or concern.code in filters.reasons)
        and (not filters.warnings or (concern.is_warning and concern.code in filters.warnings))
    )


def _tasks(domain: Domain, concerns: Iterable[Concern], now: datetime) -> Iterator[Task]:
    left: timedelta | None = find_time_left(domain, now)
    for concern in concerns:
        yield Task(
            domain.name, "", concern.code, concern.code, None, concern.owner, concern.sentence, concern.next_step, left, domain, concern
        )  # fmt: skip
