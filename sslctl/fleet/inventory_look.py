"""The daily look by C4's inventory: compare its list with what C4 was last seen to have for each managed domain.

The list is read in blocks, and of each domain only marks are kept, so memory is bounded for any number of domains. What is as it
was known is recorded once the list has ended, in the order in which the domains were added: neighbours share a page of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from heapq import nsmallest
from itertools import islice

from sslctl.control_plane import ControlPlane, Installed
from sslctl.fleet.inventory import Marks
from sslctl.issuance.customers import Named, NamedCustomers
from sslctl.store.interface.inventory import Inventory, ManagedDomain, Seen

# So many domains are compared, and recorded, at a time.
_BLOCK = 5000


def look_at_inventory(
    store: Inventory, control_plane: ControlPlane, customers: NamedCustomers, now: datetime, *, most: int
) -> list[str]:
    """Compare C4's inventory with the store; return what differs: at most `most` names, those first that were not seen for long.

    A domain that C4 is known not to know is as it was known if the list lacks it. Raise `NoInventory` if C4 has no inventory, or
    another `ControlPlaneError`; then nothing is recorded but customers.
    """
    listed, same, records = Marks(), Marks(), control_plane.inventory()
    while block := {record.name: record for record in islice(records, _BLOCK)}:
        seen = store.seen(list(block))
        customers.hear(Named(each.name, each.customer, block[each.name].customer) for each in seen)
        for each in seen:
            listed.add(each.number)
            if _is_same(each, block[each.name].certificate):
                same.add(each.number)

    def is_as_known(domain: ManagedDomain) -> bool:
        return domain.number not in listed if domain.is_unknown else domain.number in same

    return [each.name for each in nsmallest(most, _confirm(store, now, is_as_known), key=_turn)]


def _confirm(
    store: Inventory, now: datetime, is_as_known: Callable[[ManagedDomain], bool]
) -> Iterator[ManagedDomain]:
    """Record that managed domains were looked at, and yield those that are not as they were known."""
    after = 0
    while domains := store.managed_domains(after, _BLOCK):
        after = domains[-1].number
        store.confirm_seen([each.number for each in domains if is_as_known(each)], now)
        yield from (each for each in domains if not is_as_known(each))


def _is_same(seen: Seen, installed: Installed | None) -> bool:
    fingerprint = installed.fingerprint if installed is not None else None
    return seen.fingerprint == fingerprint and not seen.is_unknown and not seen.is_suspected


def _turn(domain: ManagedDomain) -> tuple[bool, float, str]:
    at = domain.observed_at
    return at is not None, 0 if at is None else at.timestamp(), domain.name
