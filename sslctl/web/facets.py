"""How many domains each value of a filter would leave, with the other filters as they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from sslctl.rules.reasons import Code, Owner, Status
from sslctl.store.interface.domains import Codes, Query, Sort


@dataclass(frozen=True, slots=True)
class Facets:
    """The number of `matching` domains, and of those that match with another status, owner, reason or warning."""

    matching: int
    statuses: Counter[Status] = field(default_factory=Counter)
    owners: Counter[Owner] = field(default_factory=Counter)
    reasons: Counter[Code] = field(default_factory=Counter)
    warnings: Counter[Code] = field(default_factory=Counter)


def find_facets(query: Query, count_by_codes: Callable[[Query], Mapping[Codes, int]]) -> Facets:
    """Return the facets of `query`. One call of `count_by_codes` counts the domains of a query by their codes.

    It gets the query without the filters that have facets, without its order and its place: it is the same for many lists.
    """
    base = replace(
        query, statuses=(), owners=(), reasons=(), warnings=(), sort=Sort.NAME, limit=None, offset=0
    )
    matching = 0
    statuses, owners = Counter[Status](), Counter[Owner]()
    reasons, warnings = Counter[Code](), Counter[Code]()
    for codes, number in count_by_codes(base).items():
        fits = {
            "status": not query.statuses or codes.status in query.statuses,
            "owner": not query.owners or not codes.owners.isdisjoint(query.owners),
            "reason": not query.reasons or not codes.reasons.isdisjoint(query.reasons),
            "warning": not query.warnings or not codes.warnings.isdisjoint(query.warnings),
        }
        misfits = [key for key, fit in fits.items() if not fit]
        if not misfits:
            matching += number
        if misfits in ([], ["status"]):
            statuses[codes.status] += number
        if misfits in ([], ["owner"]):
            owners.update(dict.fromkeys(codes.owners, number))
        if misfits in ([], ["reason"]):
            reasons.update(dict.fromkeys(codes.reasons, number))
        if misfits in ([], ["warning"]):
            warnings.update(dict.fromkeys(codes.warnings, number))
    return Facets(matching, statuses, owners, reasons, warnings)
