"""Spread renewals over days: within `renewal.max_per_day`, postpone due renewals or make some early."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from sslctl.rules import renewal_days
from sslctl.rules.claim_names import domain_of
from sslctl.rules.model import Domain
from sslctl.rules.reasons import REASONS, Status
from sslctl.rules.renewal_days import RenewalCounts
from sslctl.store.interface.claims import Claims
from sslctl.store.interface.domains import Domains
from sslctl.store.interface.renewals import Cohort, Renewals

EARLY = "a coming day would have more renewals than renewal.max_per_day"

_FAILING = (Status.FAILURE, Status.DISCARD)


@dataclass(frozen=True, slots=True)
class FleetCounts:
    """The numbers of managed domains of source c4.

    `fleet` counts the coming renewals by their days. `queued` domains wait for their first certificate, or for one that is no
    renewal any more. `failing` domains fail and have no certificate, or one that is due: nothing is ordered for them until a person acts.
    """

    fleet: RenewalCounts
    queued: int
    failing: int


@dataclass(frozen=True, slots=True)
class Selection:
    """The due renewals that are `held` until tomorrow, and the renewals that are made `early`, before they are due.

    `postponable` are the due ones that are made today, and that could be held as well.
    """

    held: Sequence[Domain] = field(default=())
    early: Sequence[Domain] = field(default=())
    postponable: Sequence[Domain] = field(default=())


class _Shared(Claims, Domains, Renewals, Protocol):
    """A store that processes of several machines share."""


def count_fleet(
    store: Renewals, now: datetime, before: timedelta, renewable_for: timedelta = timedelta.max
) -> FleetCounts:
    """Return the numbers of domains as of `now`. `before` is `renewal.before_days`.

    Domains whose renewal is due, and whose certificate was issued `renewable_for` ago or earlier, are queued: to the CA their
    orders are new ones (`Limits.renewable_for`).
    """
    today = renewal_days.day_of(now)
    fleet: Counter[renewal_days.DayWindow] = Counter()
    queued = failing = 0
    for cohort in store.cohorts():
        each = _window(cohort, before)
        if _fails(cohort) and (each is None or each.due <= today):
            failing += cohort.count
        elif each is None or (each.due <= today and _has_lapsed(cohort, now, renewable_for)):
            queued += cohort.count
        else:
            fleet[each] += cohort.count
    return FleetCounts(fleet, queued, failing)


def _window(cohort: Cohort, before: timedelta) -> renewal_days.DayWindow | None:
    if cohort.expires_at is None or cohort.lifetime is None:
        return None
    return renewal_days.day_window(cohort.expires_at, cohort.lifetime, before)


def _has_lapsed(cohort: Cohort, now: datetime, renewable_for: timedelta) -> bool:
    return cohort.issued_at is not None and now - cohort.issued_at >= renewable_for


def _fails(cohort: Cohort) -> bool:
    return cohort.code is not None and REASONS[cohort.code].status in _FAILING


def select_renewals(
    store: Renewals, due: Sequence[Domain], now: datetime, before: timedelta, max_per_day: int
) -> Selection:
    """Return which of the renewals `due` are held until tomorrow, and which domains are renewed before they are due.

    `before` is `renewal.before_days`; a `max_per_day` of 0 means no limit. Renewals since midnight in Singapore count,
    so the result does not depend on how often ticks run. The domains that expire last are held, and only healthy ones
    that expire after the end of tomorrow: our own limit never causes an expiry and never prevents the daily recheck.
    """
    if not max_per_day:
        return Selection()
    today = renewal_days.day_of(now)
    left_today = max(0, max_per_day - store.renewed_since(renewal_days.start_of(today)))
    deferrable = sorted((each for each in due if _is_deferrable(each, now)), key=_expiry)
    urgent = sum(1 for each in due if _is_renewable(each)) - len(deferrable)
    number = max(0, left_today - urgent)
    kept, held = deferrable[:number], deferrable[number:]
    if held:
        return Selection(held=held, postponable=kept)
    fleet = count_fleet(store, now, before).fleet
    due_today = sum(count for each, count in fleet.items() if each.due <= today)
    number = min(renewal_days.count_needed_today(fleet, today, max_per_day), left_today) - due_today
    if number <= 0:
        return Selection(postponable=kept)
    early = store.renewable(now, renewal_days.due_after(today, before), number)
    return Selection(early=early, postponable=kept)


def within_day(
    store: _Shared,
    block: Sequence[str],
    renewals: Container[str],
    postponable: Container[str],
    now: datetime,
    max_per_day: int,
) -> list[str]:
    """Return `block`, whose domains this process has claimed, without those of its `postponable` renewals that are too many today.

    What else is claimed counts, by this process and by those of other machines: they planned at another time, when other renewals
    were due. Of two that look at the same time, each counts what the other one has claimed; what both leave out is for the next tick.
    """
    midnight = renewal_days.start_of(renewal_days.day_of(now))
    claimed = {domain_of(claim.name) or "" for claim in store.claims() if claim.is_valid}
    others = store.domains_named(sorted(claimed.difference(block, [""])))
    # A renewal that ends in between is counted twice.
    under_way = sum(each.wanted is not None and each.wanted.issued_at < midnight for each in others)
    left, kept = max_per_day - under_way - store.renewed_since(midnight), list[str]()
    for name in block:
        if name not in postponable or left > 0:
            kept.append(name)
            left -= name in renewals
    return kept


def _is_deferrable(domain: Domain, now: datetime) -> bool:
    serving = domain.serving
    if domain.finding is not None or serving is None or serving.revoked_at is not None:
        return False
    return serving.leaf.not_after > renewal_days.start_of(renewal_days.day_of(now) + 2)


def _is_renewable(domain: Domain) -> bool:
    """Return whether a pass over `domain` will probably renew it."""
    return domain.finding is None or domain.finding.reason.status not in _FAILING


def _expiry(domain: Domain) -> datetime:
    assert domain.serving is not None  # noqa: S101 - a deferrable domain is served
    return domain.serving.leaf.not_after
