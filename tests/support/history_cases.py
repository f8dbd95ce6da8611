"""What tests of the history share: a history, ways to edit it past the store, and its verification."""

from __future__ import annotations

from collections.abc import Callable

from sslctl.rules.audit_chain import Audit, Head
from sslctl.rules.model import Source
from tests.support.store_backends import Backend, Sql
from tests.support.store_cases import NAME, finding, held, issue, serve

Edit = Callable[[Sql], object]
COLUMNS = ("id", "domain_id", "at", "actor", "kind", "detail", "version", "mac")


def write_history(backend: Backend) -> None:
    """Write seven events about two domains."""
    store = backend.open()
    domain = store.add_domain(NAME, (), Source.C4)
    domain = serve(store, issue(store, domain))
    store.add_domain("b.test", ("c.test",), Source.C4)
    store.record_finding(store.domain("b.test"), finding())
    store.record_event(domain, "key downloaded", "pem", held(domain).version)
    store.close()


def audit(backend: Backend, noted: Head | None = None) -> Audit:
    """Verify the history with a handle of its own."""
    store = backend.open()
    try:
        return store.verify_history(noted)
    finally:
        store.close()


def edit(backend: Backend, *edits: Edit) -> None:
    """Do what somebody with access to the database, but without the key file, can do."""
    with backend.sql(guarded=False) as run:
        for each in edits:
            each(run)


def sql(statement: str, *values: object) -> Edit:
    """Return an edit that runs `statement`."""
    return lambda run: run(statement, values)


def set_column(column: str, value: object, identity: object) -> Edit:
    return sql(f"UPDATE event SET {column} = ? WHERE id = ?", value, identity)  # noqa: S608 - a column of ours


def rows(backend: Backend) -> list[tuple[object, ...]]:
    with backend.sql() as run:
        return run(f"SELECT {', '.join(COLUMNS)} FROM event ORDER BY id", ())  # noqa: S608 - ours
