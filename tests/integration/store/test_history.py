"""The history in the SQLite file: its triggers, a full disk, and events from before the chain existed."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from sslctl.errors import StateError
from sslctl.rules.limits import set_key
from sslctl.rules.names import registered_domain
from sslctl.store.keyring import Keyring
from sslctl.store.sqlite.migrations import MIGRATIONS
from sslctl.store.sqlite.schema import APPLICATION_ID
from tests.support.fakes import START
from tests.support.history_cases import COLUMNS, audit, edit, rows, sql, write_history
from tests.support.store_backends import SqliteBackend
from tests.support.store_cases import (
    NAME,
    PATIENCE,
    database_of,
    finding,
    key_of,
    look_into,
    open_store,
    processes,
    write_until_the_disk_is_full,
)


@pytest.fixture
def backend(tmp_path: Path) -> SqliteBackend:
    """A state with seven events about two domains."""
    backend = SqliteBackend(tmp_path / "state")
    write_history(backend)
    return backend


@pytest.mark.parametrize(
    "statement",
    [
        *(f"UPDATE event SET {column} = {column} WHERE id = 3" for column in COLUMNS),  # noqa: S608 - ours
        "DELETE FROM event WHERE id = 3",
        "DELETE FROM event",
        "INSERT OR REPLACE INTO event SELECT * FROM event WHERE id = 3",
    ],
)
def test_database_refuses_to_change_or_delete_an_event(backend: SqliteBackend, statement: str) -> None:
    before = rows(backend)
    with (
        look_into(database_of(backend.folder)) as connection,
        pytest.raises(sqlite3.IntegrityError, match="an event is never"),
    ):
        connection.execute(statement)
    assert rows(backend) == before


def test_history_is_verified_after_a_full_disk(backend: SqliteBackend) -> None:
    results = processes().Queue()
    process = processes().Process(
        target=write_until_the_disk_is_full, args=(backend.folder, 200_000, results)
    )
    process.start()
    acknowledged = results.get(timeout=PATIENCE)
    process.join(PATIENCE)
    found = audit(backend)
    assert (found.intact, found.broken) == (7 + len(acknowledged), "")


# Older databases


def _older(folder: Path, version: int) -> None:
    """Create a state of schema `version` with three events."""
    folder.mkdir(exist_ok=True)
    keyring = Keyring(key_of(folder))
    keyring.make()
    with look_into(database_of(folder)) as connection:
        connection.create_function("registered_domain", 1, registered_domain, deterministic=True)
        connection.create_function(
            "set_key_of", 1, lambda text: set_key(json.loads(text)), deterministic=True
        )
        for migration in MIGRATIONS[:version]:
            connection.executescript(migration)
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("INSERT INTO key_check VALUES (1, ?)", (keyring.encrypt("sslctl"),))
        connection.execute(
            "INSERT INTO domain (name, sans, source, created_at) VALUES (?, '[]', 'c4', '2026-01-01T00:00:00Z')",
            (NAME,),
        )
        for number in range(3):
            connection.execute(
                "INSERT INTO event (domain_id, at, actor, kind, detail) VALUES (1, ?, 'root (pts/0)', 'found', ?)",
                (f"2026-01-0{number + 1}T00:00:00Z", f"{number}"),
            )


BEFORE = len(MIGRATIONS[: next(place for place, each in enumerate(MIGRATIONS) if "audit_chain" in each)])


@pytest.mark.parametrize("version", range(1, BEFORE + 1))
def test_events_of_an_older_database_are_chained(tmp_path: Path, version: int) -> None:
    _older(tmp_path, version)
    found = audit(SqliteBackend(tmp_path))
    assert (found.intact, found.inherited, found.begun_at, found.broken) == (3, 3, START, "")
    store = open_store(tmp_path)
    store.record_event(store.domain(NAME), "key downloaded", "pem")
    store.close()
    assert audit(SqliteBackend(tmp_path)).intact == 4
    edit(SqliteBackend(tmp_path), sql("UPDATE event SET detail = 'x' WHERE id = 2"))
    assert (audit(SqliteBackend(tmp_path)).intact, audit(SqliteBackend(tmp_path)).broken[:8]) == (
        1,
        "event 2 ",
    )


def test_older_database_is_chained_when_its_key_file_is_back(tmp_path: Path) -> None:
    _older(tmp_path, BEFORE)
    key = key_of(tmp_path).read_bytes()
    key_of(tmp_path).unlink()
    store = open_store(tmp_path)
    domain = store.domain(NAME)
    assert len(store.events(domain)) == 3
    with pytest.raises(StateError, match="has not begun"):
        store.verify_history()
    with pytest.raises(StateError, match=r"master\.key is missing"):
        store.record_finding(domain, finding())
    assert store.domain(NAME) == domain
    key_of(tmp_path).write_bytes(key)
    key_of(tmp_path).chmod(0o600)
    store.record_finding(domain, finding())
    found = store.verify_history()
    assert (found.intact, found.inherited, found.broken) == (4, 3, "")
    store.close()
