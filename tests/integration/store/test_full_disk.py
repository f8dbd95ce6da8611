"""A full disk: a write raises, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from sslctl.errors import StateError
from sslctl.rules.model import Source
from sslctl.store.sqlite.store import SqliteStore
from tests.support.store_cases import CERTIFICATE, CHAIN, NAME, database_of, dump, leaf, open_order


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the fixture `store`."""
    return tmp_path / "state"


def test_full_disk_raises_state_error_and_changes_nothing(store: SqliteStore, folder: Path) -> None:
    domain = store.add_domain(NAME, (), Source.C4)
    order = open_order(store, domain)
    before = dump(database_of(folder))
    [pages] = store._database.read(lambda row: int(row[0]), "PRAGMA page_count")
    store._database.read(tuple, f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StateError, match=r"cannot use the database .*sslctl\.db: database or disk is full"):
        store.add_issued_certificate(domain, order, CERTIFICATE * 1000, CHAIN, leaf())
    assert dump(database_of(folder)) == before
    store._database.read(tuple, f"PRAGMA max_page_count = {pages + 1000}")
    assert store.add_issued_certificate(domain, order, CERTIFICATE * 1000, CHAIN, leaf()).wanted is not None
