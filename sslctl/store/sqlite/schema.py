"""The SQLite schema and its migrations.

`PRAGMA user_version` counts the migrations applied and changes in the same transaction as each of them.
`PRAGMA application_id` says that a file is sslctl's, so that a foreign database is refused and never written to.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator

from sslctl.errors import StateError
from sslctl.rules.limits import set_key
from sslctl.rules.names import registered_domain
from sslctl.store.sql.rows import UNCHANGING, digest

APPLICATION_ID = 0x73736C63  # "sslc"

# Times are RFC 3339 UTC to the second ("2026-11-23T16:00:00Z"), so that text order is time order. Names are JSON
# arrays. Keys are Fernet tokens. A certificate's facts are copied out of its PEM, which never changes, to be searched.
_INITIAL = """
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

# Whatever is asked of a whole fleet is answered from these alone: a row of `certificate` fills a page of the file, and
# most of them are of certificates long replaced.
_FACTS = """
CREATE INDEX domain_facts
  ON domain (name, source, created_at, deleted_at, finding_code, retry_at, wanted_id, serving_id)
  WHERE deleted_at IS NULL;
CREATE INDEX certificate_facts ON certificate (id, not_after, not_before, revoked_at, version, source, fingerprint);
DROP INDEX domain_by_finding;
DROP INDEX domain_by_serving;
DROP INDEX certificate_by_expiry;
"""

# What the limits of the CA are counted from, and what it says of renewals (ARI, RFC 9773).
#
# `ca` is the URL of the CA's directory. An order from before this migration has none, and counts at every CA: that
# holds back too much for a week at most, never too little. `name_set` is `limits.set_key` of the names. An order
# is a renewal when a certificate for the same set was issued before. `acme_order_name.registered_domain` is NULL where
# the order counts against none, as a renewal does; `opened_at` is the order's, which never changes, to be searched.
#
# A pause was set `at` a time and lasts until another; `scope` is what of the CA it covers (`limits.Scope`).
_LIMITS = """
ALTER TABLE acme_order ADD COLUMN ca TEXT NOT NULL DEFAULT '';
ALTER TABLE acme_order ADD COLUMN name_set TEXT;
ALTER TABLE acme_order ADD COLUMN is_renewal INTEGER NOT NULL DEFAULT 0;

UPDATE acme_order SET name_set = set_key_of(names);
CREATE INDEX acme_order_by_set ON acme_order (name_set, opened_at);
UPDATE acme_order SET is_renewal = EXISTS (
  SELECT 1 FROM acme_order AS earlier
  WHERE earlier.name_set = acme_order.name_set AND earlier.outcome = 'issued' AND earlier.id < acme_order.id
);
CREATE INDEX acme_order_spent ON acme_order (opened_at, ca)
  WHERE is_renewal = 0 AND (url IS NOT NULL OR closed_at IS NULL);

CREATE TABLE acme_order_name (
  order_id          INTEGER NOT NULL REFERENCES acme_order (id),
  name              TEXT NOT NULL,
  registered_domain TEXT,
  opened_at         TEXT NOT NULL,
  PRIMARY KEY (name, order_id)
) STRICT, WITHOUT ROWID;

INSERT INTO acme_order_name
  SELECT acme_order.id, value, CASE WHEN is_renewal THEN NULL ELSE registered_domain(value) END, opened_at
  FROM acme_order, json_each(acme_order.name_set);
CREATE INDEX acme_order_name_by_domain ON acme_order_name (registered_domain, opened_at, order_id)
  WHERE registered_domain IS NOT NULL;

CREATE TABLE ca_pause (
  ca    TEXT NOT NULL,
  scope TEXT NOT NULL,
  at    TEXT NOT NULL,
  until TEXT NOT NULL,
  why   TEXT NOT NULL,
  PRIMARY KEY (ca, scope)
) STRICT, WITHOUT ROWID;

ALTER TABLE domain ADD COLUMN finding_tries INTEGER NOT NULL DEFAULT 1;
CREATE INDEX domain_held ON domain (finding_wanted, retry_at)
  WHERE finding_code = 'BUDGET_HELD' AND deleted_at IS NULL;

ALTER TABLE certificate ADD COLUMN ari_start_at TEXT;
ALTER TABLE certificate ADD COLUMN ari_end_at TEXT;
ALTER TABLE certificate ADD COLUMN ari_renew_at TEXT;
ALTER TABLE certificate ADD COLUMN ari_poll_at TEXT;
ALTER TABLE certificate ADD COLUMN ari_explanation TEXT;
CREATE INDEX certificate_by_poll ON certificate (coalesce(ari_poll_at, ''))
  WHERE source = 'c4' AND verified_at IS NOT NULL AND replaced_at IS NULL AND revoked_at IS NULL;
CREATE INDEX certificate_by_renewal ON certificate (ari_renew_at)
  WHERE ari_renew_at IS NOT NULL AND replaced_at IS NULL;
"""

# The history, append-only and chained (`interface.audit`). `state` is where the chain stands; each event's `mac` is half of
# what it was right after it. Events from before this migration have none until the chain is begun, with a key that the
# migration cannot make: the key file may be elsewhere.
_AUDIT = """
CREATE TABLE audit_chain (
  only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
  sealed   BLOB NOT NULL,
  state    BLOB NOT NULL
) STRICT;

ALTER TABLE event ADD COLUMN mac TEXT;

CREATE TRIGGER event_unchanged BEFORE UPDATE OF id, domain_id, at, actor, kind, detail, version ON event
BEGIN SELECT RAISE (ABORT, 'an event is never changed'); END;
CREATE TRIGGER event_chained BEFORE UPDATE OF mac ON event WHEN OLD.mac IS NOT NULL
BEGIN SELECT RAISE (ABORT, 'an event is never changed'); END;
CREATE TRIGGER event_kept BEFORE DELETE ON event
BEGIN SELECT RAISE (ABORT, 'an event is never deleted'); END;
CREATE TRIGGER event_appended BEFORE INSERT ON event WHEN EXISTS (SELECT 1 FROM event WHERE id = NEW.id)
BEGIN SELECT RAISE (ABORT, 'an event is never replaced'); END;
"""

# When a certificate's key was destroyed; `sealed_key` is empty from then on. And when what concerns the whole state was
# last done (`model.Milestone`).
_KEYS_AND_MILESTONES = """
ALTER TABLE certificate ADD COLUMN key_destroyed_at TEXT;

CREATE TABLE milestone (
  name   TEXT PRIMARY KEY,
  at     TEXT NOT NULL,
  actor  TEXT NOT NULL,
  detail TEXT NOT NULL
) STRICT, WITHOUT ROWID;
"""

# The last message that was to reach a person (`model.Notice`). Positions and troubles are JSON arrays, troubles of pairs.
_NOTICES = """
CREATE TABLE notice (
  only_row     INTEGER PRIMARY KEY CHECK (only_row = 1),
  at           TEXT,
  troubles     TEXT NOT NULL,
  missed       TEXT NOT NULL,
  missed_since TEXT,
  why          TEXT NOT NULL
) STRICT;
"""

# What `rows.digest` gives for what never changes in a certificate's row: SQLite has no checksums.
_DIGESTS = f"""
ALTER TABLE certificate ADD COLUMN digest TEXT;
UPDATE certificate SET digest = digest_of({", ".join(UNCHANGING)});
"""  # noqa: S608 - constants

MIGRATIONS: tuple[str, ...] = (_INITIAL, _FACTS, _LIMITS, _AUDIT, _KEYS_AND_MILESTONES, _NOTICES, _DIGESTS)


def prepare(connection: sqlite3.Connection, shown_as: str) -> None:
    """Set the connection's pragmas, refuse a foreign or newer database, and apply the migrations that are missing.

    Raises `StateError` naming the file `shown_as`; `sqlite3.DatabaseError` when the file is no SQLite database.
    """
    is_empty = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    if not (is_empty and _pragma(connection, "application_id") == 0):
        require_known(connection, shown_as)
    # EXTRA with a rollback journal also syncs the folder after the journal is gone: an acknowledged commit survives
    # a power cut. secure_delete overwrites what a closed order's key leaves behind.
    for pragma in (
        "journal_mode = DELETE",
        "synchronous = EXTRA",
        "foreign_keys = ON",
        "secure_delete = ON",
        "trusted_schema = OFF",
    ):
        connection.execute(f"PRAGMA {pragma}")
    if _pragma(connection, "user_version") < len(MIGRATIONS):
        _migrate(connection)


def require_known(connection: sqlite3.Connection, shown_as: str) -> None:
    """Return where the database is sslctl's, of this version or an older one; nothing is written. Raises `StateError`."""
    if _pragma(connection, "application_id") != APPLICATION_ID:
        raise StateError(
            f"{shown_as} is a database of another program",
            hint="name another folder in state.dir; nothing was written to this one",
        )
    if not 0 <= _pragma(connection, "user_version") <= len(MIGRATIONS):
        raise StateError(f"{shown_as} was written by a newer sslctl", hint="update sslctl on this machine")


def require_current(connection: sqlite3.Connection, shown_as: str) -> None:
    """Return where the database is sslctl's, of this version. Raises `StateError`."""
    require_known(connection, shown_as)
    if _pragma(connection, "user_version") != len(MIGRATIONS):
        raise StateError(
            f"{shown_as} was written by an older sslctl", hint="the next command brings it up to date"
        )


def _migrate(connection: sqlite3.Connection) -> None:
    # The migrations' own functions, for what SQL cannot say.
    connection.create_function("registered_domain", 1, registered_domain, deterministic=True)
    connection.create_function("set_key_of", 1, _set_key_of, deterministic=True)
    connection.create_function("digest_of", len(UNCHANGING), _digest_of, deterministic=True)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        # Read again under the lock: another process may have migrated while this one waited.
        for number in range(_pragma(connection, "user_version"), len(MIGRATIONS)):
            for statement in _statements(MIGRATIONS[number]):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        # SQLite itself rolls back after some errors, a full disk among them.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _set_key_of(names: str) -> str:
    return set_key(json.loads(names))


def _digest_of(*values: object) -> str:
    return digest(values)


def _statements(script: str) -> Iterator[str]:
    # executescript() would commit the open transaction first. A trigger holds semicolons of its own.
    statement = ""
    for piece in script.split(";")[:-1]:
        statement += f"{piece};"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value
