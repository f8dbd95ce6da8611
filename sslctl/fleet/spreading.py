"""Which renewals a tick makes today: what is due, what is made earlier, and what may wait, within `renewal.max_per_day`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sslctl.rules import renewal_days
from sslctl.rules.model import Domain
from sslctl.rules.reasons import REASONS, Status
from sslctl.rules.renewal_days import RenewalCounts
from sslctl.store.interface.renewals import Cohort, Renewals

EARLY = "a coming day would have more renewals than renewal.max_per_day"

_FAILING = (Status.FAILURE, Status.DISCARD)


@dataclass(frozen=True, slots=True)
class FleetCounts:
    """Where the managed domains of source c4 stand.

    `fleet` counts those for which a renewal is to come. `queued` wait for their first certificate. `failing` fail and
    have none, or one whose renewal is due: nothing is ordered for them until somebody acts.
    """

    fleet: RenewalCounts
    queued: int
    failing: int


@dataclass(frozen=True, slots=True)
class Share:
    """Today's share: of the renewals that are due those that are `held` until tomorrow, and those made `early`."""

    held: Sequence[Domain] = field(default=())
    early: Sequence[Domain] = field(default=())


def count_fleet(store: Renewals, now: datetime, before: timedelta) -> FleetCounts:
    """Count the domains of `store`. `before` is `renewal.before_days`."""
    today = renewal_days.day_of(now)
    fleet: Counter[renewal_days.DayWindow] = Counter()
    queued = failing = 0
    for cohort in store.cohorts():
        each = _window(cohort, before)
        if _fails(cohort) and (each is None or each.due <= today):
            failing += cohort.count
        elif each is None:
            queued += cohort.count
        else:
            fleet[each] += cohort.count
    return FleetCounts(fleet, queued, failing)


def _window(cohort: Cohort, before: timedelta) -> renewal_days.DayWindow | None:
    if cohort.expires_at is None or cohort.lifetime is None:
        return None
    return renewal_days.day_window(cohort.expires_at, cohort.lifetime, before)


def _fails(cohort: Cohort) -> bool:
    return cohort.code is not None and REASONS[cohort.code].status in _FAILING


def share(
    store: Renewals, due: Sequence[Domain], now: datetime, before: timedelta, max_per_day: int
) -> Share:
    """Say which of the renewals `due` are held until tomorrow, and which domains beyond them are renewed already.

    `before` is `renewal.before_days`; a `max_per_day` of 0 is no limit. What was renewed since midnight in Singapore
    counts, so ticks may come as often as they like. Held is what expires last, and only what is well and expires after
    the end of tomorrow: a limit of our own lets nothing expire, and keeps nobody from the daily recheck.
    """
    if not max_per_day:
        return Share()
    today = renewal_days.day_of(now)
    room = max(0, max_per_day - store.renewed_since(renewal_days.start_of(today)))
    patient = sorted((each for each in due if _can_wait(each, now)), key=_expiry)
    pressing = sum(1 for each in due if _is_likely(each)) - len(patient)
    held = patient[max(0, room - pressing) :]
    if held:
        return Share(held=held)
    fleet = count_fleet(store, now, before).fleet
    falling_due = sum(count for each, count in fleet.items() if each.due <= today)
    number = min(renewal_days.count_needed_today(fleet, today, max_per_day), room) - falling_due
    if number <= 0:
        return Share()
    return Share(early=store.renewable(now, renewal_days.due_after(today, before), number))


def _can_wait(domain: Domain, now: datetime) -> bool:
    serving = domain.serving
    if domain.finding is not None or serving is None or serving.revoked_at is not None:
        return False
    return serving.leaf.not_after > renewal_days.start_of(renewal_days.day_of(now) + 2)


def _is_likely(domain: Domain) -> bool:
    """Say whether a pass over `domain` will most likely renew it."""
    return domain.finding is None or domain.finding.reason.status not in _FAILING


def _expiry(domain: Domain) -> datetime:
    assert domain.serving is not None  # noqa: S101 - what can wait is served
    return domain.serving.leaf.not_after
