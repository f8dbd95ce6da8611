"""Once a day in a tick: compare C4's inventory with the state, and record the domains that nobody manages.

What C4 has for managed domains is looked at by `looks`. Here only new domains are noticed: those that C4 lists, that were never
added, and that it did not list at the two comparisons before. They are recorded once the whole list was read and is believed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sslctl.control_plane import ControlPlane, Record
from sslctl.errors import ConfigError, TryLater
from sslctl.fleet.inventory import EmptyList, Group, Marks, NoList, compare
from sslctl.issuance.suspicions import SuspicionLimit
from sslctl.rules.model import Mark, Milestone
from sslctl.rules.singapore import next_midnight
from sslctl.store.interface.domains import Domains
from sslctl.store.interface.inventory import Inventory, UnmanagedDomains
from sslctl.store.interface.maintenance import Maintenance

_MOST_SECONDS = 300
_RETRY_AFTER = timedelta(minutes=55)
_BLOCK = 1000
_MOST_NAMED = 5


class _Store(Domains, Inventory, Maintenance, UnmanagedDomains, Protocol):
    """What the comparison reads and writes."""


@dataclass(frozen=True, slots=True)
class InventoryNews:
    """What a tick learned from C4's inventory.

    C4 has `unmanaged` domains that nobody manages; `new` of them were not there before, and `first` are the first of these by name. All
    are empty if nothing was compared in this tick. `trouble` is why the last comparison failed, empty if it did not.
    """

    unmanaged: int = 0
    new: int = 0
    first: Sequence[str] = ()
    trouble: str = ""


def compare_daily(
    store: _Store,
    control_plane: ControlPlane,
    limit: SuspicionLimit,
    clock: Callable[[], datetime],
    monotonic: Callable[[], float],
) -> InventoryNews:
    """Compare the inventory if none was compared yet on this day in Singapore; return what is new.

    It ends after five minutes. After a failure it is tried again an hour later, and a C4 without an inventory is asked again the next day.
    """
    now = clock()
    last = store.milestones().get(Milestone.INVENTORY)
    if last is not None and not _is_due(last, now):
        return InventoryNews(trouble=last.detail)
    until = monotonic() + _MOST_SECONDS
    try:
        news = _compare(store, control_plane, limit, now, lambda: monotonic() > until)
    except NoList:
        news = InventoryNews()
    except EmptyList as error:
        # A C4 without domains is as expected if nothing is managed.
        news = InventoryNews(trouble=error.message if store.count_managed() else "")
    except (ConfigError, TryLater) as error:
        news = InventoryNews(trouble=error.message)
    store.record_milestone(Milestone.INVENTORY, news.trouble)
    return news


def _is_due(last: Mark, now: datetime) -> bool:
    """Return whether a comparison is due after `last`. One in the future does not count: the clock was ahead."""
    if last.at > now:
        return True
    return now >= (last.at + _RETRY_AFTER if last.detail else next_midnight(last.at))


def _compare(
    store: _Store,
    control_plane: ControlPlane,
    limit: SuspicionLimit,
    now: datetime,
    is_over: Callable[[], bool],
) -> InventoryNews:
    still_there, known = Marks(), 0

    def accept(records: Sequence[Record]) -> set[str]:
        """Mark those of `records` that are recorded, and return the names of the others."""
        nonlocal known
        names = {record.name for record in records}
        recorded = store.unmanaged_named(sorted(names))
        for number in recorded.values():
            still_there.add(number)
        known += len(recorded)
        return names - recorded.keys()

    compared = compare(store, control_plane, limit, accept=accept, is_over=is_over, in_full=False)
    _settle_others(store, still_there)
    found = compared.groups[Group.UNMANAGED]
    names = sorted(each.name for each in found.first)
    store.record_unmanaged(names, now)
    return InventoryNews(known + found.number, found.number, tuple(names[:_MOST_NAMED]))


def _settle_others(store: UnmanagedDomains, still_there: Marks) -> None:
    """Record that the domains that are not `still_there` were missed, and forget those that were missed before.

    C4 dropped them, or somebody manages them, or the list was short.
    """
    after = 0
    while recorded := store.unmanaged_numbers(after, _BLOCK):
        after, _ = recorded[-1]
        store.set_unmanaged_missed(
            [number for number, is_missed in recorded if is_missed and number in still_there], is_missed=False
        )
        absent = [(number, is_missed) for number, is_missed in recorded if number not in still_there]
        store.forget_unmanaged([number for number, is_missed in absent if is_missed])
        store.set_unmanaged_missed([number for number, is_missed in absent if not is_missed], is_missed=True)
