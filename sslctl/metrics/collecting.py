"""Read the metrics from the store.

What could not be read is absent, never 0. What is known to be nothing is 0 if its labels are known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sslctl import __version__
from sslctl.errors import SslctlError, StateBusy
from sslctl.metrics import families
from sslctl.metrics.families import Metric, Sample
from sslctl.rules.limits import LimitKind, Limits
from sslctl.rules.model import Milestone
from sslctl.rules.reasons import FINDINGS, REASONS, Code, Status
from sslctl.rules.renewal import RenewalRule
from sslctl.store.interface.budget import Budget
from sslctl.store.interface.domains import Domains, Query, Sort
from sslctl.store.interface.maintenance import Maintenance
from sslctl.store.interface.metrics import ACCEPTED, Counted, Metrics

_UNWELL = tuple(status for status in Status if status is not Status.SUCCESS)


class _Store(Budget, Domains, Maintenance, Metrics, Protocol):
    """What the metrics are read from."""


@dataclass(frozen=True, slots=True)
class Collected:
    """The samples that could be read, and the error of each group that could not."""

    samples: list[Sample]
    errors: list[SslctlError]


def collect(
    open_store: Callable[[], _Store],
    now: datetime,
    find_rule: Callable[[], RenewalRule],
    find_limits: Callable[[], Limits],
) -> Collected:
    """Return the metrics as of `now`, as far as they can be read.

    Once the database was locked for too long, nothing else is read from it.
    """
    samples, errors = [Sample(families.BUILD_INFO, 1, (__version__,))], list[SslctlError]()
    groups = (
        lambda store: _domains(store, now),
        lambda store: [Sample(families.RENEWALS_OVERDUE, store.count_overdue(now, find_rule()))],
        _suspicions,
        lambda store: _soonest(store, now),
        lambda store: _certificates(store, now),
        lambda store: _outcomes(store, Counted.ORDERS, families.ORDERS, "issued"),
        lambda store: _outcomes(store, Counted.UPLOADS, families.UPLOADS, ACCEPTED),
        lambda store: [Sample(families.UPLOADS_OWED, store.count_uploads_owed(now))],
        lambda store: _budget(store, now, find_limits()),
        lambda store: _pauses(store, now),
        _ticks,
    )
    for group in groups:
        if errors and isinstance(errors[-1], StateBusy):
            errors.append(errors[-1])
            continue
        try:
            samples += list(group(open_store()))
        except SslctlError as error:
            errors.append(error)
    samples.append(Sample(families.UNREAD, len(errors)))
    return Collected(samples, errors)


def _domains(store: Metrics, now: datetime) -> Iterator[Sample]:
    """Yield the number of domains; 0 for a reason that no domain has, so that its first domain is an increase."""
    known: dict[tuple[Status, Code | None], int] = {(Status.SUCCESS, None): 0}
    known |= {(REASONS[code].status, code): 0 for code in FINDINGS}
    known |= {(each.status, each.code): each.number for each in store.count_by_reason(now)}
    for (status, code), number in known.items():
        owner = "" if code is None else REASONS[code].owner
        yield Sample(families.DOMAINS, number, (status, code or "", owner))


def _suspicions(store: Metrics) -> Iterator[Sample]:
    found = store.count_suspicions()
    if not found:
        yield Sample(families.SUSPICIONS, 0, ("",))
    for code, number in found.items():
        yield Sample(families.SUSPICIONS, number, (code,))


def _soonest(store: Metrics, now: datetime) -> Iterator[Sample]:
    for source, at in store.soonest_expiries(now).items():
        yield Sample(families.SOONEST_NOT_AFTER, at.timestamp(), (source,))


def _certificates(store: Domains, now: datetime) -> Iterator[Sample]:
    # The nearest expiries first, past or to come: domains that nobody renews any more do not crowd out the others.
    unwell = Query(statuses=_UNWELL, sort=Sort.URGENCY, limit=families.MOST_UNWELL)
    soonest = Query(statuses=(Status.SUCCESS,), sort=Sort.EXPIRES, limit=families.SOONEST)
    found: dict[str, float] = {}
    for query in (unwell, soonest):
        for domain in store.listing(query, now).domains:
            if domain.in_service is not None:
                # Between the two queries a domain may have recovered.
                found[domain.name] = domain.in_service.not_after.timestamp()
    return (Sample(families.CERTIFICATE_NOT_AFTER, at, (name,)) for name, at in found.items())


def _outcomes(store: Metrics, counted: Counted, metric: Metric, usual: str) -> Iterable[Sample]:
    counts = {usual: 0, **store.outcomes(counted)}
    return [Sample(metric, number, (outcome.replace(" ", "_"),)) for outcome, number in counts.items()]


def _budget(store: Budget, now: datetime, limits: Limits) -> Iterator[Sample]:
    sizes = {LimitKind.ORDERS: limits.orders, LimitKind.CERTIFICATES: limits.certificates}
    for kind, left in store.limits_left(now).items():
        yield Sample(families.BUDGET_REMAINING, left, (kind,))
        limit = sizes[kind]
        if limit is not None:
            yield Sample(families.BUDGET_LIMIT, limit.count, (kind,))


def _pauses(store: Budget, now: datetime) -> Iterable[Sample]:
    """Return the end of the longest pause of each kind: names of domains are no labels here."""
    ends: dict[LimitKind, datetime] = {}
    for pause in store.pauses(now, also_of_renewal_info=True):
        ends.setdefault(pause.scope.kind, pause.until)
    return [Sample(families.PAUSE_UNTIL, until.timestamp(), (kind,)) for kind, until in ends.items()]


def _ticks(store: Maintenance) -> Iterator[Sample]:
    marks = store.milestones()
    good, ended = marks.get(Milestone.GOOD_TICK), marks.get(Milestone.TICK_ENDED)
    if good is not None:
        yield Sample(families.TICK_LAST_SUCCESS, good.at.timestamp())
    if ended is not None and ended.seconds is not None:
        yield Sample(families.TICK_DURATION, ended.seconds)
