"""What a tick owes to which domains, and in what order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sslctl.fleet import spreading
from sslctl.rules import schedule
from sslctl.rules.model import Domain, Source
from sslctl.rules.renewal import RenewalRule
from sslctl.rules.schedule import RECHECKED, DueWork, Work
from sslctl.store.interface.budget import Budget
from sslctl.store.interface.domains import Domains, Query
from sslctl.store.interface.renewals import Renewals

# Uploads cost no order and cure an Emergency; then what the CA wants replaced; then what expires first; then what is new; then what failed before.
_LANES = (Work.UPLOAD, Work.REPLACE, Work.RENEW, Work.ISSUE, Work.RECHECK)


class _Store(Budget, Domains, Renewals, Protocol):
    """What a plan is made from."""


@dataclass(frozen=True, slots=True)
class Task:
    """A domain and why it is its turn. `early` is a renewal that is not due yet."""

    name: str
    due: DueWork
    early: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What a tick owes, most urgent first, and how many renewals are due and held until tomorrow."""

    tasks: Sequence[Task]
    held: int = 0


def plan(
    store: _Store, now: datetime, rule: RenewalRule, *, max_per_day: int = 0, force: bool = False
) -> Plan:
    """Give what a tick at `now` owes.

    Renewals go by `rule`, and are spread so that no day has more than `max_per_day` (`spreading.share`); 0 is no limit.
    What the CA wants replaced early is not held. Where the CA's limits have more room than is needed for what is due, those that wait for it have their turn before it was foreseen.

    Every finding carries the time at which it is taken up again, for Failure the next midnight in Singapore: so the
    daily recheck needs no memory of its own, and a missed midnight is made up by the next run. `force` adds what
    the recheck covers and is not due again yet.
    """
    tasks: list[Task] = []
    renewals: list[Domain] = []
    for domain in store.candidates(now, rule.before):
        due = schedule.find_due_work(domain, now, rule)
        if due is not None:
            tasks.append(Task(domain.name, due))
            if max_per_day and due.work is Work.RENEW:
                renewals.append(domain)
    share = spreading.share(store, renewals, now, rule.before, max_per_day)
    held = {domain.name for domain in share.held}
    tasks = [task for task in tasks if task.name not in held]
    planned = {task.name for task in tasks}
    ahead = DueWork(Work.RENEW, spreading.EARLY)
    tasks += [Task(each.name, ahead, early=True) for each in share.early if each.name not in planned]
    tasks += _fill(tasks, store, now)
    # No renewal of theirs needs to be due: one was begun, and what the CA may have issued for it is not to be lost.
    planned = {task.name for task in tasks}
    midway = DueWork(Work.RENEW, "its renewal was cut off midway")
    tasks += [Task(each.name, midway) for each in store.interrupted() if each.name not in planned]
    if force:
        planned = {task.name for task in tasks}
        forced = DueWork(Work.RECHECK, "the daily recheck is forced")
        tasks += [Task(name, forced) for name in rechecked(store, now) if name not in planned]
    # The sort is stable, and candidates come by expiry.
    return Plan(sorted(tasks, key=lambda task: _LANES.index(task.due.work)), len(held))


def _fill(tasks: Sequence[Task], store: _Store, now: datetime) -> list[Task]:
    """Take up who waits for the CA's limits where `tasks` leave room: some before them needed no order after all."""
    spare = store.orders_left(now)
    if spare is not None:
        spare -= sum(task.due.work is Work.ISSUE for task in tasks)
    if not spare or spare < 0:
        return []
    has_room = DueWork(Work.ISSUE, "it was held back, and the CA's limits have room already")
    return [Task(domain.name, has_room) for domain in store.waiting_for_budget(now, spare)]


def rechecked(store: _Store, now: datetime) -> list[str]:
    """Name the domains that the daily recheck covers: source c4, in Failure, Pending or Expired."""
    return [domain.name for domain in store.domains(Query(statuses=RECHECKED, source=Source.C4), now)]
