"""The customers that C4 names for domains: believed together, or not at all, like other answers of C4 (`suspicions`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from sslctl.store.interface.domains import Domains
from sslctl.wording import C4


class Named(NamedTuple):
    """The customer that C4 named for the domain `name`, empty for none, and the one that it named before."""

    name: str
    before: str
    customer: str


@dataclass(frozen=True, slots=True)
class WithheldCustomers:
    """Customers that C4 changed for too many domains to be believed: for `domains` of `looked_at`, such as `example`."""

    domains: int
    looked_at: int
    example: Named

    def describe(self) -> str:
        """Return in words what happened, and what to do."""
        example = self.example
        return (
            f'{C4:The} names another customer than before for {self.domains} of {self.looked_at} domains, such as "{example.customer}" for'
            f' {example.name} ("{example.before}" before): too many to be believed, so nothing was recorded. Check {C4}; if it is true,'
            " run `sslctl customer --clear` for these domains"
        )


class NamedCustomers:
    """The customers that C4 names in one command or tick. Its methods may be called from any thread.

    The first customer of a domain is recorded at once. Another one is recorded when the batch is concluded, unless there are too
    many: C4 can be wrong about every domain at once. If C4 names none, the last one stays: the field is optional.
    """

    def __init__(self, store: Domains) -> None:
        self._store = store
        self._changed: dict[str, Named] = {}

    def hear(self, named: Iterable[Named]) -> None:
        """Record or note what C4 `named`."""
        first = {}
        for each in named:
            if each.customer == each.before:
                self._changed.pop(each.name, None)
            elif each.customer and each.before:
                self._changed[each.name] = each
            elif each.customer:
                first[each.name] = each.customer
        if first:
            self._store.record_customers(first)

    def conclude(self, limit: int, looked_at: int) -> WithheldCustomers | None:
        """Record the changed customers, at most `limit`; return them if they are more. C4 was asked about `looked_at` domains."""
        changed, self._changed = self._changed, {}
        if len(changed) > limit:
            return WithheldCustomers(len(changed), looked_at, next(iter(changed.values())))
        if changed:
            self._store.record_customers({name: each.customer for name, each in changed.items()})
        return None
