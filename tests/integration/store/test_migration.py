"""A database of the first released schema is migrated and used further."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from sslctl.errors import StateError
from sslctl.rules.budget import BudgetHeld
from sslctl.rules.limits import Limit, Limits
from sslctl.rules.model import Source
from sslctl.rules.notice import Notice, NoticeKey
from sslctl.rules.reasons import Code, Status
from sslctl.store.interface.domains import Query
from sslctl.store.keyring import Keyring
from sslctl.store.sqlite import migrations
from sslctl.store.sqlite.migrations import MIGRATIONS
from sslctl.store.sqlite.schema import APPLICATION_ID
from sslctl.store.sqlite.store import SqliteStore
from sslctl.text import instant
from tests.support.fakes import START, Clock
from tests.support.store_cases import (
    CERTIFICATE,
    CHAIN,
    CSR,
    database_of,
    dump,
    key_of,
    look_into,
    open_store,
    private_key,
)

# The schema of version 0.1, verbatim.
FIRST = """
CREATE TABLE certificate (
  id            INTEGER PRIMARY KEY,
  domain_id     INTEGER NOT NULL REFERENCES domain (id),
  version       INTEGER NOT NULL,
  source        TEXT NOT NULL CHECK (source IN ('c4', 'text')),
  names         TEXT NOT NULL,
  fingerprint   TEXT NOT NULL,
  serial        TEXT NOT NULL,
  issuer        TEXT NOT NULL,
  key_type      TEXT NOT NULL,
  not_before    TEXT NOT NULL,
  not_after     TEXT NOT NULL,
  pem           TEXT NOT NULL,
  chain_pem     TEXT NOT NULL,
  sealed_key    BLOB NOT NULL,
  issued_at     TEXT NOT NULL,
  uploading_at  TEXT,
  uploaded_at   TEXT,
  verified_at   TEXT,
  replaced_at   TEXT,
  revoked_at    TEXT,
  UNIQUE (domain_id, version)
) STRICT;

CREATE TABLE domain (
  id             INTEGER PRIMARY KEY,
  revision       INTEGER NOT NULL DEFAULT 0,
  name           TEXT NOT NULL UNIQUE,
  sans           TEXT NOT NULL,
  source         TEXT NOT NULL CHECK (source IN ('c4', 'text')),
  created_at     TEXT NOT NULL,
  deleted_at     TEXT,
  checked_at     TEXT,
  finding_code   TEXT,
  finding_found  TEXT,
  finding_wanted TEXT,
  finding_at     TEXT,
  retry_at       TEXT,
  wanted_id      INTEGER REFERENCES certificate (id),
  serving_id     INTEGER REFERENCES certificate (id)
) STRICT;

CREATE INDEX domain_by_finding ON domain (finding_code, retry_at) WHERE deleted_at IS NULL;
CREATE INDEX domain_by_serving ON domain (serving_id) WHERE deleted_at IS NULL;
CREATE INDEX certificate_by_expiry ON certificate (not_after);

CREATE TABLE acme_order (
  id         INTEGER PRIMARY KEY,
  domain_id  INTEGER NOT NULL REFERENCES domain (id),
  names      TEXT NOT NULL,
  csr_pem    TEXT NOT NULL,
  sealed_key BLOB,
  opened_at  TEXT NOT NULL,
  url        TEXT,
  closed_at  TEXT,
  outcome    TEXT,
  CHECK ((closed_at IS NULL) = (sealed_key IS NOT NULL))
) STRICT;

CREATE UNIQUE INDEX acme_order_open ON acme_order (domain_id) WHERE closed_at IS NULL;

CREATE TABLE event (
  id        INTEGER PRIMARY KEY,
  domain_id INTEGER NOT NULL REFERENCES domain (id),
  at        TEXT NOT NULL,
  actor     TEXT NOT NULL,
  kind      TEXT NOT NULL,
  detail    TEXT NOT NULL,
  version   INTEGER
) STRICT;

CREATE INDEX event_by_domain ON event (domain_id, id);

CREATE TABLE lease (
  name  TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  until TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE key_check (
  only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
  sealed   BLOB NOT NULL
) STRICT;
"""
SERVED, FAILING, WAITING, DELETED, PASTED = "www.example.com", "a.test", "b.test", "c.test", "d.test"
# In the rows below, an order for SERVED's names was issued, and then another one as its renewal.
NAMES = (SERVED, "example.com")
ORDERED, FAILED = "2026-11-22T04:00:00Z", "2026-11-23T03:30:00Z"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the state of a version 0.1."""
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    keyring = Keyring(key_of(folder))
    keyring.make()
    database_of(folder).touch(mode=0o600)
    with closing(sqlite3.connect(database_of(folder))) as connection:
        connection.executescript(FIRST)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 1")
        _fill(connection, keyring)
        connection.commit()
    return folder


def _fill(connection: sqlite3.Connection, keyring: Keyring) -> None:
    sealed = keyring.encrypt(private_key())
    connection.execute("INSERT INTO key_check VALUES (1, ?)", (keyring.encrypt("sslctl"),))
    added = "2026-08-01T00:00:00Z"
    connection.executemany(
        "INSERT INTO domain VALUES (?, 3, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                1,
                SERVED,
                '["example.com"]',
                "c4",
                added,
                None,
                ORDERED,
                None,
                None,
                None,
                None,
                None,
                None,
                None,
            ),
            (
                2,
                FAILING,
                "[]",
                "c4",
                added,
                None,
                FAILED,
                "CHALLENGE_FAILED",
                "404",
                "it",
                FAILED,
                FAILED,
                None,
                None,
            ),
            (
                3,
                WAITING,
                "[]",
                "c4",
                added,
                None,
                ORDERED,
                "CA_VALIDATING",
                "wait",
                "",
                ORDERED,
                ORDERED,
                None,
                None,
            ),
            (4, DELETED, "[]", "c4", added, ORDERED, None, None, None, None, None, None, None, None),
            (5, PASTED, "[]", "text", added, None, ORDERED, None, None, None, None, None, None, None),
        ],
    )
    leaf = (CERTIFICATE, CHAIN, sealed)
    connection.executemany(
        "INSERT INTO certificate VALUES (?, ?, ?, ?, ?, ?, '1f', 'CN=CA', 'ECDSA P-256', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
        [
            (
                1,
                1,
                1,
                "c4",
                json.dumps(NAMES),
                "aa" * 32,
                added,
                "2026-10-30T00:00:00Z",
                *leaf,
                added,
                added,
                added,
                added,
                ORDERED,
            ),
            (
                2,
                1,
                2,
                "c4",
                json.dumps(NAMES),
                "bb" * 32,
                ORDERED,
                "2027-02-20T00:00:00Z",
                *leaf,
                ORDERED,
                ORDERED,
                ORDERED,
                ORDERED,
                None,
            ),
            (
                3,
                5,
                1,
                "text",
                f'["{PASTED}"]',
                "cc" * 32,
                added,
                "2027-01-20T00:00:00Z",
                *leaf,
                added,
                added,
                added,
                added,
                None,
            ),
        ],
    )
    connection.execute("UPDATE domain SET wanted_id = 2, serving_id = 2 WHERE id = 1")
    connection.execute("UPDATE domain SET wanted_id = 3, serving_id = 3 WHERE id = 5")
    url = "https://ca.test/order/"
    connection.executemany(
        "INSERT INTO acme_order VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (1, 1, json.dumps(NAMES), CSR, None, added, f"{url}1", added, "issued"),
            (2, 1, json.dumps(NAMES[::-1]), CSR, None, ORDERED, f"{url}2", ORDERED, "issued"),
            (3, 2, f'["{FAILING}"]', CSR, None, FAILED, f"{url}3", FAILED, "CHALLENGE_FAILED"),
            (4, 3, f'["{WAITING}"]', CSR, sealed, ORDERED, f"{url}4", None, None),
        ],
    )
    connection.execute(
        "INSERT INTO event VALUES (1, 1, ?, 'root (pts/0)', 'added', 'source c4', NULL)", (added,)
    )


def opened(folder: Path, limits: Limits = Limits()) -> SqliteStore:  # noqa: B008 - it is frozen
    return SqliteStore(
        database_of(folder),
        Keyring(key_of(folder)),
        clock=Clock(),
        actor="tester (test)",
        limits={"https://ca.test/directory": limits},
    )


@pytest.fixture
def store(folder: Path) -> Iterator[SqliteStore]:
    """That state, opened by this version."""
    store = opened(folder)
    yield store
    store.close()


def test_old_database_is_read_as_before(store: SqliteStore) -> None:
    assert {domain.name for domain in store.domains(Query(), START)} == {SERVED, FAILING, WAITING, PASTED}
    assert [each.name for each in store.domains(Query(deleted=True), START)] == [DELETED]
    assert store.count_by_status(START) == {Status.SUCCESS: 2, Status.FAILURE: 1, Status.PENDING: 1}
    served = store.domain(SERVED)
    assert served.serving is not None
    assert (served.serving.version, served.serving.leaf.names, served.serving.renewal_info) == (
        2,
        NAMES,
        None,
    )
    assert [version.version for version in store.certificates(served)] == [2, 1]
    assert store.bundle(served.serving).private_key == private_key()
    assert [event.kind for event in store.events(served)] == ["added"]
    order = store.find_open_order(store.domain(WAITING))
    assert order is not None
    assert (order.url, store.order_key(order)) == ("https://ca.test/order/4", private_key())
    finding = store.domain(FAILING).finding
    assert finding is not None
    assert (finding.code, finding.tries, finding.records) == (Code.CHALLENGE_FAILED, 1, ())


def test_work_continues_in_an_old_database(store: SqliteStore) -> None:
    waiting = store.domain(WAITING)
    order = store.find_open_order(waiting)
    assert order is not None
    leaf = store.domain(SERVED).wanted
    assert leaf is not None
    assert store.add_issued_certificate(waiting, order, CERTIFICATE, CHAIN, leaf.leaf).wanted is not None
    served = store.domain(SERVED)
    assert store.open_order(served, served.names, private_key(), CSR).names == NAMES
    assert store.add_domain(DELETED, (), Source.C4).deleted_at is None


def test_old_orders_count_against_the_limits(folder: Path) -> None:
    week, day = timedelta(days=7), timedelta(days=1)
    store = opened(
        folder, Limits(Limit(3, day), Limit(1, week), Limit(2, 100 * week), Limit(1, timedelta(hours=1)))
    )
    served, failing = store.domain(SERVED), store.domain(FAILING)
    assert store.orders_left(START) == 3 - 1, "the failed one; what was opened a day ago has just left"
    assert store.orders_left(START - timedelta(seconds=1)) == 3 - 2
    with pytest.raises(BudgetHeld, match="2 of 2 certificates for exactly these names in 700 days"):
        store.require_budget(served, served.names)
    with pytest.raises(BudgetHeld, match=rf"1 of 1 failed validations of {FAILING} in 1 hour") as held:
        store.require_budget(failing, failing.names)
    assert held.value.until == START + timedelta(minutes=30)
    store.close()
    # The second order for SERVED's names was a renewal, which the first two limits do not count.
    store = opened(folder, Limits(certificates=Limit(1, 30 * week)))
    other = store.add_domain("other.example.com", (), Source.C4)
    with pytest.raises(BudgetHeld, match=r"1 of 1 new certificates for example\.com in 210 days"):
        store.require_budget(other, other.names)
    store.require_budget(served, served.names)
    store.close()


def test_maintenance_is_paused_in_an_old_database_and_its_history_stays_protected(
    folder: Path, store: SqliteStore
) -> None:
    before = store.events(store.domain(SERVED))
    pause = store.set_maintenance_pause(START + timedelta(hours=1), "C4")
    assert store.maintenance_pause(START) == pause
    trail = [(name, event.kind) for name, event in store.audit_trail()]
    assert trail == [(SERVED, "added"), (None, "paused")]
    assert store.events(store.domain(SERVED)) == before
    assert store.verify_history().broken == ""
    with look_into(database_of(folder)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        with pytest.raises(sqlite3.IntegrityError, match="never deleted"):
            connection.execute("DELETE FROM event WHERE domain_id IS NULL")
        with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
            connection.execute(
                "INSERT INTO event (domain_id, at, actor, kind, detail) VALUES (99, '', '', '', '')"
            )


def test_last_notice_of_an_older_database_is_kept(folder: Path) -> None:
    with closing(sqlite3.connect(database_of(folder), isolation_level=None)) as connection:
        migrations.add_functions(connection)
        for number in range(1, 10):
            migrations.apply(connection, number)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        since = "2026-11-23T03:00:00Z"
        values = (instant(START), '[["a.test", "Expired"]]', "[2]", since, "URL 2 (mailto) answered 500")
        connection.execute("INSERT INTO notice VALUES (1, ?, ?, ?, ?, ?)", values)
    store = opened(folder)
    expected = Notice(
        START, frozenset({("a.test", "Expired")}), (2,), datetime.fromisoformat(since), values[4]
    )
    assert store.notices() == {NoticeKey(): expected}
    store.close()


def test_database_is_migrated_once(folder: Path) -> None:
    opened(folder).close()
    with look_into(database_of(folder)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    content = dump(database_of(folder))
    opened(folder).close()
    assert dump(database_of(folder)) == content


def test_migrated_database_has_the_schema_of_a_new_one(folder: Path, tmp_path: Path) -> None:
    opened(folder).close()
    (tmp_path / "new").mkdir(mode=0o700)
    open_store(tmp_path / "new").close()
    schemas = []
    for place in (folder, tmp_path / "new"):
        with look_into(database_of(place)) as connection:
            schemas.append(connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall())
    assert schemas[0] == schemas[1]


def test_failed_migration_leaves_the_database_unchanged(folder: Path) -> None:
    with look_into(database_of(folder)) as connection:
        connection.execute("UPDATE acme_order SET names = 'no JSON' WHERE id = 2")
    before = dump(database_of(folder))
    with pytest.raises(StateError, match=r"sslctl\.db"):
        opened(folder)
    assert dump(database_of(folder)) == before
    with look_into(database_of(folder)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
