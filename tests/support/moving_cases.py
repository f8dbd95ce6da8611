"""A state with rows in every table, for moves between databases."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from sslctl.rules.model import Source
from sslctl.rules.notice import NoticeKind
from sslctl.rules.reasons import Code
from sslctl.store.sqlite.moving import find_tables
from tests.support.archive_cases import prune
from tests.support.fakes import START, Clock
from tests.support.store_cases import (
    database_of,
    dump,
    finding,
    issue,
    look_into,
    open_order,
    open_store,
    serve,
)

# Values that a copy may spoil: other scripts, quotes and separators, and letters whose order depends on the locale.
ODD = "漢字 Ünï '\"\\ \t\n,{} \\N é Z a _ 😀"

_TIME = "2026-11-23T16:00:00Z"
_BY_TYPE = {"TEXT": ODD, "INTEGER": 1, "BLOB": b"\0\xff\n\\", "REAL": 0.1}
# Commands read these.
_VALUES = dict.fromkeys(
    ("at", "until", "since", "late_at", "missed_since", "failing_since", "created_at", "seen_at"), _TIME
)
_VALUES |= {
    "kind": next(iter(NoticeKind)).value,
    "scope": "orders",
    "troubles": "[]",
    "news": "[]",
    "missed": "[]",
    "first_seen_at": _TIME,
    "requested_at": _TIME,
}


def make_state(folder: Path, domains: int = 5) -> None:
    """Make a state in SQLite with rows in every table: what commands make, and one made-up row in each table that is still empty."""
    clock = Clock(START - timedelta(days=200))
    store = open_store(folder, clock)
    added = [store.add_domain("0.example.com", ("www.0.example.com",), Source.C4)]
    clock.at = START
    prune(store, clock, folder / "archive")
    added += (
        store.add_domain(f"{number}.example.com", (f"www.{number}.example.com",), Source.C4)
        for number in range(1, domains)
    )
    for number, domain in enumerate(added):
        if number % 5 == 1:
            store.record_finding(domain, finding(Code.CNAME_ELSEWHERE, ODD))
        elif number % 5 == 2:
            open_order(store, domain)
        elif number % 5 == 3:
            store.delete_domain(serve(store, issue(store, domain)))
        else:
            issue(store, serve(store, issue(store, domain)))
    store.close()
    _fill(folder)


def _fill(folder: Path) -> None:
    with look_into(database_of(folder)) as connection:
        for table in find_tables():
            if table.name == "milestone":
                connection.execute(
                    "INSERT INTO milestone VALUES ('keys pruned', ?, ?, ?, 0.1)", (_TIME, ODD, ODD)
                )
            if connection.execute(f"SELECT 1 FROM {table.name}").fetchone():  # noqa: S608 - our schema
                continue
            columns = connection.execute(f"PRAGMA table_info({table.name})").fetchall()
            row = [_VALUES.get(column[1], _BY_TYPE[column[2]]) for column in columns]
            places = ", ".join("?" * len(row))
            connection.execute(f"INSERT INTO {table.name} VALUES ({places})", row)  # noqa: S608 - our schema


def dump_without_moves(path: Path) -> str:
    """Return what `dump` does, without the events of moves and the state of the chain, which covers them."""
    return "\n".join(
        line
        for line in dump(path).splitlines()
        if "'state moved'" not in line and not line.startswith('INSERT INTO "audit_chain"')
    )
