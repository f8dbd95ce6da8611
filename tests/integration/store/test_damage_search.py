"""The search for damage in steps, for files that are too large to be searched at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from sslctl.errors import StateError
from sslctl.store.sqlite.damage import START, Place
from sslctl.store.sqlite.database import Database
from tests.support.cdn import Cdn

NAMES = ("a.example.com", "b.example.com", "c.example.com")
# What comes before the first key of a table.
FIRST: dict[str, tuple[int | str, ...]] = {
    "acme_order_name": ("", 0),
    "milestone": ("",),
    "lease": ("",),
    "ca_pause": ("", ""),
}


@pytest.fixture
def path(cdn: Cdn) -> Path:
    """The database of a CDN with three domains in service, one of which has an open order."""
    for name in NAMES:
        cdn.add_domain(name)
        assert cdn.sslctl("add", name).exit_code == 0
    found = cdn.folder / "state" / "sslctl.db"
    with closing(sqlite3.connect(found, isolation_level=None)) as connection:
        connection.execute(
            "UPDATE domain SET finding_code = 'BUDGET_HELD', suspicion_code = 'NXDOMAIN' WHERE id = 2"
        )
        connection.execute("UPDATE certificate SET ari_renew_at = '2027-01-01T00:00:00Z' WHERE id = 2")
        connection.execute(
            "UPDATE acme_order SET closed_at = NULL, sealed_key = x'00', is_renewal = 0 WHERE id = 2"
        )
        connection.execute("INSERT INTO announced_status (domain_id, seen_at, changes) VALUES (2, 'a', 1)")
        connection.execute("INSERT INTO unmanaged_domain (name, first_seen_at) VALUES ('a.example', 'a')")
        connection.execute("INSERT INTO edge_drift VALUES (2, 'edge.example:443', 'a', NULL, 'a', 'a')")
        connection.execute("INSERT INTO account_key VALUES (1, 'current', x'00', 'a')")
        connection.execute("INSERT INTO lease VALUES ('x', 'y', 'z')")
        connection.execute("INSERT INTO ca_pause VALUES ('a', 'b', 'c', 'd', 'e')")
    return found


@contextmanager
def altering(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection that may change the schema as it is stored."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        yield connection


def search(path: Path, place: Place = START) -> Place | None:
    """Search from `place` to the end."""
    database = Database(path)
    try:
        return database.search_on(place, 60)
    finally:
        database.close()


def rows_of(table: str) -> Place:
    """Return the beginning of `table`, from which it is searched by rows."""
    return Place(table, FIRST.get(table, (0,)))


def tables(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]


def indexes(path: Path) -> list[tuple[str, str, str | None, int]]:
    """Return the indexes beside the primary keys: name, table, SQL and root page."""
    sql = "SELECT name, tbl_name, sql, rootpage FROM sqlite_schema WHERE type = 'index'"
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def test_search_of_an_undamaged_file_gets_to_its_end(path: Path) -> None:
    assert search(path) is None
    for table in tables(path):
        assert search(path, rows_of(table)) is None, table


def test_search_continues_from_the_place_that_it_returned(path: Path) -> None:
    database, place, places = Database(path), START, []
    while place is not None:
        places.append(place)
        assert Place.load(place.dump()) == place
        following = database.search_on(place, 0)
        if following is None:
            break
        place = following
    database.close()
    assert [each.table for each in places] == ["sqlite_schema", *sorted(tables(path))]


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '["a table that is gone", 7]', '["domain", "x"]', '["domain", 1, 2]']
)
def test_unknown_place_is_the_beginning(path: Path, text: str) -> None:
    assert search(path, Place.load(text)) is None


def test_row_that_is_missing_from_any_index_is_found(path: Path) -> None:
    """Each index in turn forgets one row that belongs into it."""
    content = path.read_bytes()
    found = indexes(path)
    assert len(found) >= 14
    for name, table, sql, root in found:
        forget(path, name, table, sql, root)
        for place in (rows_of(table), Place(table)):
            with pytest.raises(StateError, match="missing from index"):
                search(path, place)
        path.write_bytes(content)


def test_rows_out_of_order_are_found(path: Path) -> None:
    """Two rows on a page of the file are exchanged."""
    with closing(sqlite3.connect(path)) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'domain'"
        (root,) = connection.execute(sql).fetchone()
    content = bytearray(path.read_bytes())
    # https://www.sqlite.org/fileformat2.html#b_tree_pages: a header of 8 bytes, then the place of each row.
    pointers = (root - 1) * size + 8
    assert content[pointers - 8] == 13, "a leaf"
    content[pointers : pointers + 4] = content[pointers + 2 : pointers + 4] + content[pointers : pointers + 2]
    path.write_bytes(content)
    with pytest.raises(StateError, match="row 1 of domain is out of order"):
        search(path, rows_of("domain"))


def test_certificate_that_does_not_match_its_digest_is_found(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE certificate SET pem = replace(pem, 'MII', 'MIH') WHERE id = 3")
    for place in (rows_of("certificate"), Place("certificate", (2,))):
        with pytest.raises(StateError, match=r"c\.example\.com\S* is not as it was stored"):
            search(path, place)
    assert search(path, Place("certificate", (3,))) is None


def test_value_of_another_type_is_found(path: Path) -> None:
    with altering(path) as connection:
        (sql,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'domain'").fetchone()
        loose = sql.removesuffix(" STRICT").replace("NOT NULL", "")
        connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'domain'", (loose,))
    with altering(path) as connection:
        connection.execute("UPDATE domain SET revision = NULL WHERE id = 2")
        connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'domain'", (sql,))
    with pytest.raises(StateError, match="row 2 of domain has no valid revision"):
        search(path, rows_of("domain"))


def test_check_of_domains_finds_damage_of_theirs_and_of_no_other(path: Path) -> None:
    content = path.read_bytes()
    found = {name: (table, sql, root) for name, table, sql, root in indexes(path)}
    # The one row that the change is about belongs to b.example.com.
    for name in ("acme_order_open", "certificate_by_renewal"):
        forget(path, name, *found[name])
        database = Database(path)
        database.check_domains(["a.example.com", "c.example.com", "gone.example.com"])
        with pytest.raises(StateError, match="missing from index"):
            database.check_domains(NAMES)
        database.close()
        path.write_bytes(content)


def forget(path: Path, name: str, table: str, sql: str | None, root: int) -> None:
    """Let SQLite change every row of `table` while it does not know the index `name`."""
    with altering(path) as connection:
        (definition,) = connection.execute(
            "SELECT sql FROM sqlite_schema WHERE name = ?", (table,)
        ).fetchone()
        if sql is None:
            known = definition.replace("NOT NULL UNIQUE", "NOT NULL").replace(
                ",\n  UNIQUE (domain_id, version)", ""
            )
            assert known != definition
            connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (known, table))
        connection.execute("DELETE FROM sqlite_schema WHERE name = ?", (name,))
    with altering(path) as connection:
        columns = [row[0] for row in connection.execute("SELECT name FROM pragma_index_info(?)", (name,))]
        assert columns == []
        for trigger in ("event_unchanged", "event_chained"):
            connection.execute(f"DROP TRIGGER {trigger}")
        connection.execute(f"UPDATE {table} SET {CHANGES[name]}")  # noqa: S608 - constants
        connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (definition, table))
        connection.execute("INSERT INTO sqlite_schema VALUES ('index', ?, ?, ?, ?)", (name, table, root, sql))


CHANGES = {
    "sqlite_autoindex_account_key_1": "role = role || 'x'",
    "sqlite_autoindex_certificate_1": "version = version + 1",
    "sqlite_autoindex_domain_1": "name = name || 'x'",
    "acme_order_open": "domain_id = 1 WHERE id = 2",
    "acme_order_by_day": "opened_at = '2027-01-01T00:00:00Z'",
    "acme_order_by_set": "name_set = name_set || 'x'",
    "acme_order_spent": "ca = ca || 'x'",
    "acme_order_name_by_domain": "registered_domain = registered_domain || 'x'",
    "event_by_domain": "domain_id = domain_id + 1",
    "certificate_facts": "revoked_at = '2027-01-01T00:00:00Z' WHERE id = 1",
    "certificate_by_poll": "ari_poll_at = '2027-01-01T00:00:00Z'",
    "certificate_by_renewal": "ari_renew_at = '2027-01-02T00:00:00Z' WHERE id = 2",
    "certificate_in_use": "id = id + 100",
    "certificate_revoked": "revoked_at = '2027-01-01T00:00:00Z' WHERE id = 1",
    "domain_by_caution": "caution_code = 'NO_CNAME'",
    "domain_not_plain": "unconfirmed_code = 'DNS_UNANSWERED'",
    "domain_by_other_names": "sans = '[\"other.example\"]'",
    "domain_held": "retry_at = '2027-01-01T00:00:00Z'",
    "domain_facts": "retry_at = '2027-01-01T00:00:00Z'",
    "domain_by_observation": "observed_at = '2027-01-01T00:00:00Z'",
    "domain_by_dns_check": "dns_checked_at = '2027-01-01T00:00:00Z'",
    "domain_by_suspicion": "suspicion_code = 'NO_CNAME'",
    "domain_by_wanted": "wanted_id = wanted_id + 1",
    "domain_by_serving": "serving_id = serving_id + 1",
    "acme_order_name_by_order": "order_id = order_id + 1",
    "domain_by_snooze": "snooze = '{}'",
    "announced_status_owed": "seen_at = 'b'",
    "sqlite_autoindex_unmanaged_domain_1": "name = name || 'x'",
    "edge_drift_by_edge": "late_at = 'b'",
    "unmanaged_domain_by_time": "first_seen_at = 'b'",
}
