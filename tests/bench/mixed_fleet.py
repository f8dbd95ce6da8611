"""A fleet of domains in all kinds of states, and the addresses of the page's list over it."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing

from sslctl.rules.reasons import Code, Owner, Status
from sslctl.store.interface.domains import Sort
from sslctl.web.url_query import PAGE_SIZE
from tests.bench.fleet import Fleet, names
from tests.bench.program import Sslctl

CUSTOMER = "CASE WHEN id % 10 > 0 THEN 'Customer ' || (id % 300) ELSE '' END"
"""The customer of a domain of a fleet, in SQL: most have one."""


def shuffled_names(count: int, prefix: str) -> list[str]:
    """Return `count` names in the order in which their domains are added: not that of the alphabet, as in life."""
    many = names(count, prefix)
    random.Random(prefix).shuffle(many)
    return many


def fill_mixed(sslctl: Sslctl, many: Sequence[str], *, versions: int = 1, owed: int = 0) -> None:
    """Record `many` domains in all kinds of states, with customers.

    The last one has `versions` certificates. The first `owed` have one that C4 is still to get.
    """
    fleet = Fleet(sslctl)
    fleet.fill(
        many, lambda fleet, number, name: (fleet.owed if number <= owed else fleet.settled)(number, name)
    )
    if versions > 1:
        fleet.age(versions - 1, many[-1])
    mix(sslctl)


def mix(sslctl: Sslctl) -> None:
    """Set a customer for most domains of a fleet that was just filled, and warnings and suspicions for some of them."""
    with closing(sqlite3.connect(sslctl.state / "sslctl.db")) as connection, connection:
        # The next event begins it again, with all these events.
        connection.execute("DELETE FROM audit_chain")
        connection.execute(f"UPDATE domain SET customer = {CUSTOMER}")  # noqa: S608 - ours
        changes = (
            ("caution", Code.CNAME_ELSEWHERE, "id % 50 = 20"),
            ("suspicion", Code.NXDOMAIN, "id % 500 = 30"),
        )
        for what, code, which in changes:
            time = f"{what}_at = '{_WARNED_AT}', " if what == "suspicion" else ""
            connection.execute(
                f"UPDATE domain SET {what}_code = ?, {what}_found = 'parking.elsewhere.example', {time}"  # noqa: S608 - ours
                f" {what}_wanted = 'a name under cdn.test', {what}_since = ? WHERE {which}",
                (code, _WARNED_AT),
            )


_WARNED_AT = "2026-01-01T00:00:00Z"


def list_addresses(many: Sequence[str]) -> dict[str, str]:
    """Return the addresses of the list by what they show: its ends, searches, each filter, and each order."""
    last = -(-len(many) // PAGE_SIZE)
    return {
        "the list, first page": "/",
        "the list, last page": f"/?page={last}",
        "a search for a few": f"/?q={many[-1][4:-10]}",
        "a search for all, last page": f"/?q=www&page={last}",
        "a search with wildcards": "/?q=www.*[1-3]7.example",
        "a search in Chinese": "/?q=%E4%B8%AD%E6%96%87",
        "a search for none": "/?q=none-is-like-this",
        **{f"status {status}": f"/?status={status}" for status in Status},
        **{f"owner {owner}": f"/?owner={owner}" for owner in Owner},
        "a reason": f"/?reason={Code.CNAME_ELSEWHERE}",
        "a warning": f"/?warning={Code.CNAME_ELSEWHERE}",
        "a customer": "/?customer=Customer+7",
        "without a customer": "/?no_customer=1",
        "an assignee": "/?assignee=mei",
        "text certificates": "/?source=text",
        "expiry within 7 days": "/?within=7d",
        "several filters": f"/?q=7&status={Status.FAILURE}&owner={Owner.CUSTOMER}&source=c4&sort={Sort.EXPIRES}",
        **{f"sorted by {sort}": f"/?sort={sort}" for sort in Sort if sort is not Sort.URGENCY},
    }
