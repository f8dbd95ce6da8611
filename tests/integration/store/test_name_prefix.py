"""Names by their beginning, from a real database."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from sslctl.store.sql.name_prefix import MOST_NAMES, NAMES_SQL
from sslctl.store.sqlite.name_prefix import find_names
from sslctl.store.sqlite.store import SqliteStore

_SECONDS = 20


@pytest.fixture
def path(store: SqliteStore, tmp_path: Path) -> Path:
    store.add_domains([f"d{index:03}.example.com" for index in range(MOST_NAMES + 50)])
    return tmp_path / "state" / "sslctl.db"


def test_names_are_sorted_and_at_most_200(path: Path) -> None:
    found = find_names(path, "d", deleted=False, other_names=True, seconds=_SECONDS)
    assert found == [f"d{index:03}.example.com" for index in range(MOST_NAMES)]


def test_names_begin_with_the_prefix(path: Path) -> None:
    found = find_names(path, "d24", deleted=True, other_names=True, seconds=_SECONDS)
    assert found == [f"d24{index}.example.com" for index in range(10)]
    assert find_names(path, "d24_", deleted=True, other_names=True, seconds=_SECONDS) == []


def test_prefix_query_uses_the_index_of_names(path: Path) -> None:
    values = {"prefix": "d2", "end": "d2\x7f", "managed": True, "deleted": False, "most": 5}
    with sqlite3.connect(path) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {NAMES_SQL}", values)]
    assert len(plan) == 1
    assert plan[0].startswith("SEARCH domain USING INDEX sqlite_autoindex_domain_1 (name>? AND name<?)")


def test_missing_database_is_an_error_and_not_created(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.Error):
        find_names(tmp_path / "sslctl.db", "d", deleted=False, other_names=False, seconds=_SECONDS)
    assert not list(tmp_path.iterdir())


def test_names_of_domains_remain_when_the_time_for_other_names_is_over(path: Path) -> None:
    found = find_names(path, "d24", deleted=False, other_names=True, seconds=0)
    assert len(found) == 10
