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
