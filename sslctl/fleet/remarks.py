"""Record what people write about domains, and end the snoozes of domains that are well."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from sslctl.errors import Busy, SslctlError
from sslctl.fleet.recording import record_each
from sslctl.rules.model import Domain
from sslctl.rules.reasons import Status
from sslctl.rules.remarks import Remarks
from sslctl.rules.status import derive_status
from sslctl.rules.warnings import find_warnings
from sslctl.store.interface.domains import Domains
from sslctl.store.interface.transactions import Transactions

# So many domains are read at once: a list may have 100,000.
_BLOCK = 1000


class _Store(Domains, Transactions, Protocol):
    """What remarks are read from and written to."""


def record(
    store: _Store,
    domains: Sequence[Domain],
    change: Callable[[Domain], Remarks],
    *,
    is_about_customer: bool = False,
) -> dict[str, SslctlError]:
    """Record the remarks that `change` returns for each of `domains`, as `record_each` does. `change` may raise `BadInput`.

    If it `is_about_customer`, one that is removed is also forgotten as what C4 named.
    """

    def write(domain: Domain) -> None:
        changed = store.record_remarks(domain, change(domain))
        if is_about_customer and changed.c4_customer and not changed.remarks.customer:
            store.forget_customer(changed)

    return record_each(store, domains, write)


def record_customers(store: _Store, customers: Mapping[str, str]) -> dict[str, SslctlError]:
    """Record the customers that a person named, by domain; return the error of each domain that is refused, by name."""
    names = list(customers)
    errors: dict[str, SslctlError] = {}
    for start in range(0, len(names), _BLOCK):
        found = store.domains_named(names[start : start + _BLOCK])
        managed = [domain for domain in found if domain.deleted_at is None]
        errors |= record(
            store,
            managed,
            lambda one: replace(one.remarks, customer=customers[one.name]),
            is_about_customer=True,
        )
    return errors


def end_snoozes(store: Domains, now: datetime) -> None:
    """Remove the snoozes of domains that are well: if the same trouble begins again, it is new."""
    for domain in store.snoozed():
        if _is_well(domain, now):
            # Somebody else may have changed or removed it, and then it is theirs.
            with suppress(Busy):
                store.record_remarks(domain, replace(domain.remarks, snooze=None))


def _is_well(domain: Domain, now: datetime) -> bool:
    is_known = domain.unconfirmed is None
    return is_known and derive_status(domain, now).status is Status.SUCCESS and not find_warnings(domain, now)
