"""What the state knows about the names to check. Nothing is changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from sslctl.diagnosis import Hold, Subject
from sslctl.rules import maintenance_pause
from sslctl.rules.limits import CA_WIDE
from sslctl.rules.model import Domain, Source
from sslctl.rules.reasons import Code
from sslctl.store.interface.budget import Budget
from sslctl.store.interface.domains import Domains
from sslctl.store.interface.maintenance_pauses import MaintenancePauses


class _Store(Budget, Domains, MaintenancePauses, Protocol):
    """What is read."""


def find_subjects(store: _Store, names: Sequence[str], now: datetime) -> list[Subject]:
    """Return for each of `names` (normalised) the domain that has it, and what holds back its order at `now`."""
    holders = store.holders(names)
    return [_find_subject(store, name, holders.get(name), now) for name in names]


def _find_subject(store: _Store, name: str, holder: str | None, now: datetime) -> Subject:
    domain = store.find(name)
    if domain is None or domain.deleted_at is not None:
        domain = None if holder is None else store.find(holder)
    orderer = domain or Domain(0, name, (), Source.C4, now)
    return Subject(name, domain, _find_hold(store, orderer, now), store.orders_left(now))


def _find_hold(store: _Store, domain: Domain, now: datetime) -> Hold | None:
    """Return what holds an order of `domain` back for the longest time."""
    pause, held = store.maintenance_pause(now), store.find_hold(domain)
    if held is not None and held.scope.kind in CA_WIDE:
        # Another CA may issue meanwhile.
        is_held = all(store.find_hold(domain, ca=ca) is not None for ca in store.cas[1:])
        held = held if is_held else None
    holds = []
    if pause is not None:
        holds.append(Hold(Code.MAINTENANCE, maintenance_pause.describe(pause), pause.until))
    if held is not None:
        holds.append(Hold(Code.BUDGET_HELD, held.found, held.until))
    return max(holds, key=lambda each: each.until, default=None)
