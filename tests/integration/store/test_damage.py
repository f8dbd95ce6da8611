"""Bit rot: SQLite has no checksums, so damaged data is detected and not used."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from sslctl.sandbox.c4.faults import Fault, Operation
from tests.support.cdn import Cdn

NAME, OTHER = "shop.example.com", "blog.example.com"


def database(cdn: Cdn) -> Path:
    return cdn.folder / "state" / "sslctl.db"


@contextmanager
def opened(cdn: Cdn) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(database(cdn), isolation_level=None)) as connection:
        yield connection


def spoil(cdn: Cdn, change: str) -> None:
    """Change a text of a certificate in place in the file, as bit rot does."""
    with opened(cdn) as connection:
        connection.execute("DROP INDEX certificate_facts")
        connection.execute(f"UPDATE certificate SET {change}")  # noqa: S608 - constants
        connection.execute(
            "CREATE INDEX certificate_facts ON certificate"
            " (id, not_after, not_before, revoked_at, version, source, fingerprint)"
        )
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.fixture
def owing(cdn: Cdn) -> Cdn:
    """A domain with an issued certificate that C4 did not accept."""
    cdn.add_domain(NAME)
    cdn.c4.set_faults(Fault(kind=Operation.UPLOAD, status=503))
    assert cdn.sslctl("add", NAME).exit_code == 7
    cdn.c4.heal()
    return cdn


@pytest.mark.parametrize(
    "change",
    [
        "pem = replace(pem, 'MII', 'MIH')",
        "chain_pem = replace(chain_pem, 'MII', 'MIH')",
        "not_after = replace(not_after, '2027', '2037')",
        "fingerprint = '0' || substr(fingerprint, 3)",
        "names = replace(names, 'shop', 'shnp')",
    ],
)
def test_damaged_certificate_is_neither_uploaded_nor_shown_nor_downloaded(owing: Cdn, change: str) -> None:
    spoil(owing, change)
    uploads = len(owing.uploads(NAME))
    for command in (
        ("daemon-tick",),
        ("recheck", NAME),
        ("view", NAME),
        ("download", NAME, "-o", str(owing.folder)),
    ):
        result = owing.sslctl(*command)
        assert result.exit_code == 8, (command, result)
        assert "is not as it was stored" in result.stderr
        assert "restore a backup" in result.stderr
    assert len(owing.uploads(NAME)) == uploads
    assert len(owing.issuer.orders) == 1


def test_domain_with_the_certificate_of_another_one_is_refused(cdn: Cdn) -> None:
    for name in (NAME, OTHER):
        cdn.add_domain(name)
        assert cdn.sslctl("add", name).exit_code == 0
    with opened(cdn) as connection:
        connection.execute("UPDATE domain SET serving_id = 2, wanted_id = 2")
    result = cdn.sslctl("recheck", NAME)
    assert result.exit_code == 8
    assert "has the certificate of another domain" in result.stderr


def test_tick_leaves_a_damaged_database_unchanged_and_sends_no_request(cdn: Cdn) -> None:
    """The index and the row hold different values, and the file's structure is intact."""
    cdn.add_domain(NAME)
    assert cdn.sslctl("add", NAME).exit_code == 0
    content = database(cdn).read_bytes()
    fact = b"2027-02-21T04:00:00Z2026-11-23T04:00:00Z"
    assert content.count(fact) == 1
    damaged = content.replace(fact, b"2036" + fact[4:])
    database(cdn).write_bytes(damaged)
    asked = len(cdn.c4.requests)
    cdn.clock.move(days=84)
    result = cdn.sslctl("daemon-tick")
    assert result.exit_code == 8
    assert "missing from index" in result.stderr
    assert database(cdn).read_bytes() == damaged
    assert len(cdn.c4.requests) == asked


def test_tick_refuses_a_database_whose_schema_somebody_changed(owing: Cdn) -> None:
    with opened(owing) as connection:
        connection.execute(
            "CREATE TRIGGER mine AFTER INSERT ON event BEGIN UPDATE domain SET revision = 0; END"
        )
    before = len(owing.uploads(NAME))
    result = owing.sslctl("daemon-tick")
    assert result.exit_code == 8
    assert "the trigger mine is not sslctl's" in result.stderr
    assert len(owing.uploads(NAME)) == before


def test_tick_accepts_a_database_that_was_analyzed(owing: Cdn) -> None:
    with opened(owing) as connection:
        connection.execute("ANALYZE")
    assert owing.sslctl("daemon-tick").exit_code == 0


# A database that is too large to be checked by each tick as a whole


@pytest.fixture
def large(cdn: Cdn) -> Cdn:
    """A CDN with two domains in service, and a history of more than 64 MiB."""
    for name in (NAME, OTHER):
        cdn.add_domain(name)
        assert cdn.sslctl("add", name).exit_code == 0
    with opened(cdn) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(
            """WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 60000)
            INSERT INTO event (domain_id, at, actor, kind, detail)
            SELECT 1, '2026-01-01T00:00:00Z', '', 'found', printf('%.1200c', 'x') FROM number"""
        )
    assert database(cdn).stat().st_size > 64 << 20
    return cdn


def damage_event(cdn: Cdn, identity: int) -> None:
    """Let an event have another domain than in the index."""
    with opened(cdn) as connection:
        connection.execute("DROP TRIGGER event_unchanged")
        (sql,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'event_by_domain'").fetchone()
        trigger = (
            "CREATE TRIGGER event_unchanged BEFORE UPDATE OF id, domain_id, at, actor, kind, detail, version ON event"
            "\nBEGIN SELECT RAISE (ABORT, 'an event is never changed'); END"
        )
        connection.execute("PRAGMA writable_schema = ON")
        (root,) = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'event_by_domain'"
        ).fetchone()
        connection.execute("DELETE FROM sqlite_schema WHERE name = 'event_by_domain'")
    with opened(cdn) as connection:
        connection.execute("UPDATE event SET domain_id = 2 WHERE id = ?", (identity,))
        connection.execute(trigger)
        connection.execute("PRAGMA writable_schema = ON")
        row = ("event_by_domain", "event", root, sql)
        connection.execute("INSERT INTO sqlite_schema VALUES ('index', ?, ?, ?, ?)", row)


def milestones(cdn: Cdn) -> dict[str, str]:
    with opened(cdn) as connection:
        return dict(connection.execute("SELECT name, detail FROM milestone"))


def test_ticks_check_all_of_a_large_database_part_by_part(large: Cdn) -> None:
    places = []
    for _ in range(60):
        # Without work they check for a fraction of a second an hour, however many they are.
        large.clock.move(hours=1)
        assert large.sslctl("daemon-tick").exit_code == 0
        found = milestones(large)
        places.append(found["damage search"])
        if "checked for damage" in found:
            break
    else:
        pytest.fail(f"not at the end: {places}")
    assert places[-1] == '["sqlite_schema"]'


def test_ticks_that_follow_each_other_check_little_of_a_large_database(large: Cdn) -> None:
    assert large.sslctl("daemon-tick").exit_code == 0
    with opened(large) as connection:
        row = ("damage search", large.clock().strftime("%Y-%m-%dT%H:%M:%SZ"), "", '["event", 0]')
        connection.execute("INSERT OR REPLACE INTO milestone VALUES (?, ?, ?, ?, NULL)", row)
    assert large.sslctl("daemon-tick").exit_code == 0
    assert milestones(large)["damage search"] == '["event", 500]'


def doctors_database(cdn: Cdn) -> tuple[str, str]:
    """Return the grade and the text of doctor's check of the database."""
    return next(
        (each["grade"], each["detail"])
        for each in cdn.sslctl("doctor", "--json").json["checks"]
        if each["check"] == "database"
    )


def test_doctor_shows_when_ticks_last_checked_all_of_a_large_database(large: Cdn) -> None:
    def search_from(place: str) -> None:
        with opened(large) as connection:
            row = ("damage search", "2026-11-23T04:00:00Z", "", place)
            connection.execute("INSERT OR REPLACE INTO milestone VALUES (?, ?, ?, ?, NULL)", row)

    search_from('["event", 100]')
    grade, detail = doctors_database(large)
    assert (grade, detail.partition("; ticks ")[2]) == (
        "ok",
        "check a part each, and have not got to the end yet",
    )
    assert large.sslctl("backup", str(large.folder / "copy.db")).exit_code == 0
    grade, detail = doctors_database(large)
    assert (grade, detail.partition("; ticks ")[2]) == (
        "ok",
        "have checked all of it, last 2026-11-23 12:00 SGT",
    )
    large.clock.move(days=15)
    grade, detail = doctors_database(large)
    assert (grade, detail.partition("; ticks ")[2]) == (
        "warn",
        "check a part each, and last got to the end 2026-11-23 12:00 SGT",
    )
    damage_event(large, 40_000)
    grade, detail = doctors_database(large)
    assert (grade, detail.endswith("row 40000 missing from index event_by_domain")) == ("bad", True)


def test_ticks_refuse_a_large_database_once_the_search_has_found_damage(large: Cdn) -> None:
    damage_event(large, 40_000)
    for _ in range(60):
        large.clock.move(hours=1)
        result = large.sslctl("daemon-tick")
        if result.exit_code != 0:
            break
    assert result.exit_code == 8
    assert "row 40000 missing from index event_by_domain" in result.stderr
    large.clock.move(days=84)
    asked, orders = len(large.c4.requests), len(large.issuer.orders)
    for _ in range(2):
        result = large.sslctl("daemon-tick")
        assert result.exit_code == 8
        assert "row 40000 missing from index event_by_domain" in result.stderr
    assert (len(large.c4.requests), len(large.issuer.orders)) == (asked, orders)
    assert "checked for damage" not in milestones(large)


def test_no_pass_runs_on_damaged_rows_of_a_large_database(large: Cdn) -> None:
    """The search is at another part of the file, and a row of a certificate that is due differs from its index."""
    with opened(large) as connection:
        connection.execute(
            "INSERT INTO milestone VALUES ('damage search', '2026-11-23T04:00:00Z', '', '[\"key_check\"]', NULL)"
        )
    content = database(large).read_bytes()
    fact = b"2026-11-23T04:00:00Z2027-02-21T04:00:00Z"
    assert content.count(fact) == 2
    database(large).write_bytes(content.replace(fact, fact.replace(b"-21T", b"-20T"), 1))
    asked, orders = len(large.c4.requests), len(large.issuer.orders)
    large.clock.move(days=84)
    result = large.sslctl("daemon-tick")
    assert result.exit_code == 8
    assert "is not as it was stored" in result.stderr
    assert (len(large.c4.requests), len(large.issuer.orders)) == (asked, orders)


def test_backup_checks_all_of_a_large_database(large: Cdn) -> None:
    assert large.sslctl("backup", str(large.folder / "copy.db")).exit_code == 0
    assert "checked for damage" in milestones(large)
    assert large.sslctl("daemon-tick").exit_code == 0
