"""Plan a tick: which domains are due, for what work, and in what order."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Protocol

from sslctl.fleet import spreading
from sslctl.rules import schedule
from sslctl.rules.model import Domain, Source
from sslctl.rules.renewal import RenewalRule
from sslctl.rules.schedule import RECHECKED, DueWork, Work
from sslctl.store.interface.budget import Budget
from sslctl.store.interface.domains import Domains, Query
from sslctl.store.interface.maintenance_pauses import MaintenancePauses
from sslctl.store.interface.renewals import Renewals

# Uploads cost no order and end an Emergency. Then come replacements that the CA asks for, renewals by expiry, new
# domains, and last those that failed before.
_ORDER = (Work.UPLOAD, Work.REPLACE, Work.RENEW, Work.ISSUE, Work.RECHECK)
_ORDERING = (Work.REPLACE, Work.RENEW, Work.ISSUE)


class _Store(Budget, Domains, MaintenancePauses, Renewals, Protocol):
    """What a plan is made from."""


@dataclass(frozen=True, slots=True)
class Task:
    """A domain and the work that is due for it. `early` marks a renewal that is made before it is due.

    `revision` is that of the domain for which the work was found; None if that does not matter.
    """

    name: str
    due: DueWork
    early: bool = False
    revision: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The work of a tick, most urgent first; `held` is the number of due renewals that are postponed until tomorrow.

    `postponable` are the renewals that could be postponed as well.
    """

    tasks: Sequence[Task]
    held: int = 0
    postponable: Collection[str] = frozenset()

    @property
    def renewals(self) -> set[str]:
        """The domains that are to be renewed."""
        return {task.name for task in self.tasks if task.due.work is Work.RENEW}

    @property
    def revisions(self) -> dict[str, int]:
        """The revisions of the domains for which the work was found, by name."""
        return {task.name: task.revision for task in self.tasks if task.revision is not None}

    @property
    def ordering(self) -> frozenset[str]:
        """The domains that probably order a certificate."""
        return frozenset(task.name for task in self.tasks if task.due.work in _ORDERING)


def plan(
    store: _Store, now: datetime, rule: RenewalRule, *, max_per_day: int = 0, force: bool = False
) -> Plan:
    """Return the work of a tick at `now` (UTC).

    `rule` decides when a renewal is due. Renewals are spread so that no day has more than `max_per_day`
    (`spreading.select_renewals`); 0 means no limit. Replacements that the CA asks for are never postponed. If the CA's
    limits allow more orders than the due domains need, domains that wait for these limits are planned before their time.
    During a maintenance pause nothing is planned before it is due: what is due is looked at, and nothing is ordered.

    Each finding stores when it is retried; for Failure that is the next midnight in Singapore. So the daily recheck needs
    no state of its own, and the next run makes up for a missed midnight. `force` adds the domains that the recheck covers
    and that are not due yet.
    """
    tasks: list[Task] = []
    ordering: dict[str, tuple[str, ...]] = {}
    renewals: list[Domain] = []
    for domain in store.candidates(now, rule.before):
        due = schedule.find_due_work(domain, now, rule)
        if due is not None:
            tasks.append(Task(domain.name, due, revision=domain.revision))
            if due.work in _ORDERING:
                ordering[domain.name] = domain.names
            if max_per_day and due.work is Work.RENEW:
                renewals.append(domain)
    selection = spreading.select_renewals(store, renewals, now, rule.before, max_per_day)
    held = {domain.name for domain in selection.held}
    tasks = [task for task in tasks if task.name not in held]
    if store.maintenance_pause(now) is None:
        planned = {task.name for task in tasks}
        early = DueWork(Work.RENEW, spreading.EARLY)
        tasks += [
            Task(each.name, early, early=True, revision=each.revision)
            for each in selection.early
            if each.name not in planned
        ]
        tasks += _use_spare_budget(
            [names for name, names in ordering.items() if name not in held], store, now
        )
    # Even if no renewal of theirs is due: the CA may have issued a certificate for the open order.
    planned = {task.name for task in tasks}
    interrupted = DueWork(Work.RENEW, "its renewal was interrupted")
    tasks += [
        Task(each.name, interrupted, revision=each.revision)
        for each in store.interrupted()
        if each.name not in planned
    ]
    if force:
        planned = {task.name for task in tasks}
        forced = DueWork(Work.RECHECK, "the daily recheck is forced")
        tasks += [Task(name, forced) for name in domains_to_recheck(store, now) if name not in planned]
    # The sort is stable, so the order by expiry of `candidates` stays.
    ordered = sorted(tasks, key=lambda task: _ORDER.index(task.due.work))
    postponable = {domain.name for domain in (*selection.postponable, *selection.early)}
    return Plan(ordered, len(held), postponable)


def _use_spare_budget(ordering: Iterable[tuple[str, ...]], store: _Store, now: datetime) -> list[Task]:
    """Return tasks for domains that wait for the CA's limits, as many as orders are left after those for the names `ordering`."""
    spare = store.orders_left(now)
    if spare:
        # A domain that expired long ago, or has other names now, counts as new too. Once nothing is spare, no more are counted.
        new = (names for names in ordering if not store.is_renewal(names))
        spare -= sum(1 for _ in islice(new, spare))
    if not spare:
        return []
    allowed = DueWork(Work.ISSUE, "it was held back, and the CA's limits allow its order now")
    waiting = store.waiting_for_budget(now, spare)
    return [Task(domain.name, allowed, revision=domain.revision) for domain in waiting]


def domains_to_recheck(store: _Store, now: datetime) -> list[str]:
    """Return the names of the domains that the daily recheck covers: source c4, in Failure, Pending or Expired."""
    return [domain.name for domain in store.domains(Query(statuses=RECHECKED, source=Source.C4), now)]
