"""The migrations of the SQLite schema. A released migration is frozen.

So they use no constant or function of the rest of sslctl that may change, except `registered_domain`, whose result
depends on the public suffix list anyway. `tests/integration/store/test_released_migrations.py` holds a digest of each.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from hashlib import sha256

from sslctl.rules.names import registered_domain
from sslctl.store.sqlite import recent_migrations as recent

# Times are RFC 3339 UTC to the second ("2026-11-23T16:00:00Z"), so that text order is time order. Names are JSON
# arrays. Keys are Fernet tokens. A certificate's facts are copied from its PEM, which never changes, to be searched.
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

# Queries over all domains are answered from these indexes alone: a row of `certificate` fills a page of the file, and most
# rows are of certificates that were replaced long ago.
_FACTS = """
CREATE INDEX domain_facts
  ON domain (name, source, created_at, deleted_at, finding_code, retry_at, wanted_id, serving_id)
  WHERE deleted_at IS NULL;
CREATE INDEX certificate_facts ON certificate (id, not_after, not_before, revoked_at, version, source, fingerprint);
DROP INDEX domain_by_finding;
DROP INDEX domain_by_serving;
DROP INDEX certificate_by_expiry;
"""

# What the CA's rate limits are counted from, and its renewal information (ARI, RFC 9773).
#
# `ca` is the URL of the CA's directory. An order from before this migration has none, and counts at every CA: for at most a
# week too many orders are held back, never too few. `name_set` is `limits.set_key` of the names. An order is a renewal if a
# certificate for the same set was issued before. `acme_order_name.registered_domain` is NULL if the order counts against
# none, as a renewal does. Its `opened_at` is a copy of the order's, which never changes, to be searched.
#
# A pause was set `at` a time and lasts `until` another; `scope` is what it covers (`limits.Scope`).
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

# The history, append-only and chained (`rules.audit_chain`). `state` is the chain's state; each event's `mac` is half of the
# state after it. Events from before this migration have none until the chain is begun with a key. The migration cannot make
# that key: the key file may be elsewhere.
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

# When a certificate's key was destroyed; `sealed_key` is empty from then on. And the milestones (`model.Milestone`).
_KEYS_AND_MILESTONES = """
ALTER TABLE certificate ADD COLUMN key_destroyed_at TEXT;

CREATE TABLE milestone (
  name   TEXT PRIMARY KEY,
  at     TEXT NOT NULL,
  actor  TEXT NOT NULL,
  detail TEXT NOT NULL
) STRICT, WITHOUT ROWID;
"""

# The last notice (`model.Notice`). Positions and troubles are JSON arrays, troubles of pairs.
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

# The digest of the columns that never change in a certificate's row: SQLite has no checksums.
_DIGESTS = """
ALTER TABLE certificate ADD COLUMN digest TEXT;
UPDATE certificate SET digest = digest_of(
  domain_id, source, names, fingerprint, serial, issuer, key_type, not_before, not_after, pem, chain_pem
);
"""

# What C4 has instead of our certificate (`foreign_`), and what is known, not known, suspected and warned of since the last
# passes (`model.PassResult`). Each group is empty as a whole if there is nothing.
_OBSERVATIONS = """
ALTER TABLE domain ADD COLUMN observed_at TEXT;
ALTER TABLE domain ADD COLUMN foreign_source TEXT;
ALTER TABLE domain ADD COLUMN foreign_fingerprint TEXT;
ALTER TABLE domain ADD COLUMN foreign_not_after TEXT;
ALTER TABLE domain ADD COLUMN foreign_state TEXT;
ALTER TABLE domain ADD COLUMN text_consent TEXT NOT NULL DEFAULT '';
ALTER TABLE domain ADD COLUMN dns_checked_at TEXT;
ALTER TABLE domain ADD COLUMN unconfirmed_code TEXT;
ALTER TABLE domain ADD COLUMN unconfirmed_found TEXT;
ALTER TABLE domain ADD COLUMN unconfirmed_since TEXT;
ALTER TABLE domain ADD COLUMN unconfirmed_retry_at TEXT;
ALTER TABLE domain ADD COLUMN unconfirmed_tries INTEGER;
ALTER TABLE domain ADD COLUMN suspicion_code TEXT;
ALTER TABLE domain ADD COLUMN suspicion_found TEXT;
ALTER TABLE domain ADD COLUMN suspicion_wanted TEXT;
ALTER TABLE domain ADD COLUMN suspicion_since TEXT;
ALTER TABLE domain ADD COLUMN suspicion_at TEXT;
ALTER TABLE domain ADD COLUMN caution_code TEXT;
ALTER TABLE domain ADD COLUMN caution_found TEXT;
ALTER TABLE domain ADD COLUMN caution_wanted TEXT;
ALTER TABLE domain ADD COLUMN caution_since TEXT;

DROP INDEX domain_facts;
CREATE INDEX domain_facts
  ON domain (name, source, created_at, deleted_at, finding_code, retry_at, wanted_id, serving_id, foreign_not_after,
    unconfirmed_retry_at)
  WHERE deleted_at IS NULL;
CREATE INDEX domain_by_observation ON domain (observed_at) WHERE deleted_at IS NULL;
CREATE INDEX domain_by_dns_check ON domain (dns_checked_at) WHERE deleted_at IS NULL;
CREATE INDEX domain_by_suspicion ON domain (suspicion_code) WHERE suspicion_code IS NOT NULL;
"""

# For a certificate that was pasted over a managed domain: source, other names and wanted certificate of the domain before, as
# a JSON object. NULL for every other certificate.
_PASTED_OVER = """
ALTER TABLE certificate ADD COLUMN pasted_over TEXT;
"""

# The last maintenance pause that an operator set (`model.MaintenancePause`); no row if there was none, or it was ended.
#
# An event may concern no domain from here on. ALTER TABLE cannot remove a NOT NULL. What is stored of a row does not depend on
# it, so the text of the schema may be edited (https://www.sqlite.org/lang_altertable.html, section 8), and no row is copied.
_MAINTENANCE = """
CREATE TABLE maintenance_pause (
  only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
  at       TEXT NOT NULL,
  until    TEXT NOT NULL,
  reason   TEXT NOT NULL,
  actor    TEXT NOT NULL
) STRICT;

PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, 'domain_id INTEGER NOT NULL', 'domain_id INTEGER')
  WHERE type = 'table' AND name = 'event';
PRAGMA writable_schema = RESET;
"""

# The customer that C4 named for a domain, empty if it named none. And a notice for each route and kind (`notice.NoticeKey`);
# `news` is what the last one reported as new, as pairs.
_ROUTED_NOTICES = """
ALTER TABLE domain ADD COLUMN customer TEXT NOT NULL DEFAULT '';

CREATE TABLE routed_notice (
  route        TEXT NOT NULL,
  kind         TEXT NOT NULL,
  at           TEXT,
  troubles     TEXT NOT NULL,
  news         TEXT NOT NULL,
  missed       TEXT NOT NULL,
  missed_since TEXT,
  why          TEXT NOT NULL,
  PRIMARY KEY (route, kind)
) STRICT, WITHOUT ROWID;

INSERT INTO routed_notice SELECT '', 'trouble', at, troubles, '[]', missed, missed_since, why FROM notice;
DROP TABLE notice;
ALTER TABLE routed_notice RENAME TO notice;
"""

# The DNS records that cure a finding, a suspicion or a warning: a JSON array of arrays (`sql.values.records_text`), NULL for none.
_DNS_RECORDS = """
ALTER TABLE domain ADD COLUMN finding_records TEXT;
ALTER TABLE domain ADD COLUMN suspicion_records TEXT;
ALTER TABLE domain ADD COLUMN caution_records TEXT;
"""

# What people record about a domain (`remarks.Remarks`), NULL if there is nothing. `snooze` is a JSON object. `customer` stays
# the customer that C4 named.
_REMARKS = """
ALTER TABLE domain ADD COLUMN recorded_customer TEXT;
ALTER TABLE domain ADD COLUMN note TEXT;
ALTER TABLE domain ADD COLUMN assignee TEXT;
ALTER TABLE domain ADD COLUMN snooze TEXT;
CREATE INDEX domain_by_snooze ON domain (name) WHERE snooze IS NOT NULL;
"""

# The number of domains by status that a tick recorded on a day in Singapore (`2026-11-23`). `sequence` grows with each record, so
# that one can be told from an earlier one although the clock was wrong. And orders by day, for a query that this index answers alone.
_FIGURES = """
CREATE TABLE status_count (
  day      TEXT NOT NULL,
  status   TEXT NOT NULL,
  number   INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  PRIMARY KEY (day, status)
) STRICT, WITHOUT ROWID;

CREATE INDEX acme_order_by_day ON acme_order (opened_at, ca, is_renewal, closed_at, outcome);
"""

MIGRATIONS: tuple[str, ...] = (
    _INITIAL,
    _FACTS,
    _LIMITS,
    _AUDIT,
    _KEYS_AND_MILESTONES,
    _NOTICES,
    _DIGESTS,
    _OBSERVATIONS,
    _PASTED_OVER,
    _MAINTENANCE,
    _ROUTED_NOTICES,
    _DNS_RECORDS,
    _REMARKS,
    _FIGURES,
    recent.COUNTERS,
    recent.ANNOUNCED,
    recent.CHOICES,
    recent.REVOCATIONS,
    recent.UNMANAGED,
    recent.EDGES,
    recent.ISSUING_CA,
    recent.ACCOUNT_KEY,
    recent.IN_USE,
    recent.HISTORY_SEALS,
    recent.REPORTED,
)


def add_functions(connection: sqlite3.Connection) -> None:
    """Define the SQL functions that the migrations call."""
    connection.create_function("registered_domain", 1, registered_domain, deterministic=True)
    connection.create_function("set_key_of", 1, _set_key_of, deterministic=True)
    connection.create_function("digest_of", -1, _digest_of, deterministic=True)


def apply(connection: sqlite3.Connection, number: int) -> None:
    """Apply the migration `number`, from 0, and record it. The caller has begun a transaction."""
    for statement in _statements(MIGRATIONS[number]):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {number + 1}")


def _set_key_of(names: str) -> str:
    return json.dumps(sorted(set(json.loads(names))))


def _digest_of(*values: object) -> str:
    return sha256(json.dumps(list(values)).encode()).hexdigest()


def _statements(script: str) -> Iterator[str]:
    # executescript() would commit the open transaction first. A trigger holds semicolons of its own.
    statement = ""
    for piece in script.split(";")[:-1]:
        statement += f"{piece};"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
