"""Names of managed domains that are similar to a name that was mistyped."""

from __future__ import annotations

from datetime import datetime
from difflib import get_close_matches

from sslctl.rules import name_pattern
from sslctl.store.interface.domains import Domains, Query

_MOST, _MOST_COMPARED = 5, 300
_SHORTEST_PART = 2


def find_similar(store: Domains, name: str, now: datetime, *, cutoff: float = 0.6) -> list[str]:
    """Return at most 5 managed domains with a name similar to `name`, which is normalised, the most similar first.

    A slip is in one half of a label, so names that have the other half are compared, some hundred at most. The longest label is
    the least common part of most names, and the first one tells those of one customer apart. `cutoff` is the least similarity, from 0 to 1 (`difflib`).
    """
    labels = name.split(".")[:-1]
    parts = dict.fromkeys(part for label in (labels[0], max(labels, key=len)) for part in _halves(label))
    found: set[str] = set()
    for part in parts:
        query = Query(pattern=name_pattern.parse(part), limit=_MOST_COMPARED)
        found.update(domain.name for domain in store.listing(query, now).domains)
    return get_close_matches(name, sorted(found), _MOST, cutoff)


def _halves(label: str) -> list[str]:
    middle = (len(label) + 1) // 2
    return [half for half in (label[:middle], label[middle:]) if len(half) >= _SHORTEST_PART]
