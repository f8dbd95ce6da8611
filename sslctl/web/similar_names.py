"""Names of managed domains that are similar to a name that was mistyped."""

from __future__ import annotations

from datetime import datetime
from difflib import get_close_matches

from sslctl.rules import name_pattern
from sslctl.store.interface.domains import Domains, Query

_MOST, _MOST_COMPARED = 5, 300
_SHORTEST_PART = 2


def find_similar(store: Domains, name: str, now: datetime) -> list[str]:
    """Return at most 5 managed domains with a name similar to `name`, which is normalised, the most similar first.

    A slip is in one half of the longest label, so names that have the other half are compared, some hundred at most.
    """
    label = max(name.split(".")[:-1], key=len)
    middle = (len(label) + 1) // 2
    found: set[str] = set()
    for part in (label[:middle], label[middle:]):
        if len(part) >= _SHORTEST_PART:
            query = Query(pattern=name_pattern.parse(part), limit=_MOST_COMPARED)
            found.update(domain.name for domain in store.listing(query, now).domains)
    return get_close_matches(name, sorted(found), _MOST)
