"""More migrations, for `migrations`. A released migration is frozen."""

from __future__ import annotations

# How often each outcome of an order and of an upload happened: counted as they happen, because a row of either fills a page of the file. An
# upload before this migration is counted once for each certificate that C4 accepted. And how long what a milestone is about took.
COUNTERS = """
CREATE TABLE counter (
  name    TEXT NOT NULL,
  outcome TEXT NOT NULL,
  number  INTEGER NOT NULL,
  PRIMARY KEY (name, outcome)
) STRICT, WITHOUT ROWID;

INSERT INTO counter SELECT 'orders', outcome, count(*) FROM acme_order WHERE outcome IS NOT NULL GROUP BY outcome;
INSERT INTO counter SELECT 'uploads', 'accepted', count(*) FROM certificate WHERE uploaded_at IS NOT NULL HAVING count(*) > 0;

ALTER TABLE milestone ADD COLUMN seconds REAL;
"""

# The status of each domain that the webhook's endpoint accepted last (`accepted_…`; NULL before the first message), and the one that a
# tick saw last (`status` is NULL for a deleted domain). `changes` counts the changes between them; `message_id` is set by the first
# attempt. `webhook` has a row while transitions are announced.
ANNOUNCED = """
CREATE TABLE announced_status (
  domain_id   INTEGER PRIMARY KEY REFERENCES domain (id),
  accepted_status TEXT,
  accepted_code   TEXT,
  status      TEXT,
  code        TEXT,
  seen_at     TEXT NOT NULL,
  changes     INTEGER NOT NULL,
  message_id  TEXT,
  tried_at    TEXT
) STRICT;

CREATE INDEX announced_status_owed ON announced_status (tried_at, seen_at, domain_id) WHERE changes > 0;

CREATE TABLE webhook (
  only_row      INTEGER PRIMARY KEY CHECK (only_row = 1),
  failing_since TEXT,
  why           TEXT
) STRICT;
"""

# What a person chose for the certificates of a domain (`rules.certificate_choice`): a JSON object, NULL for what is configured. And the part of
# it that an order was placed with; NULL is as configured.
CHOICES = """
ALTER TABLE domain ADD COLUMN choice TEXT;
ALTER TABLE acme_order ADD COLUMN profile TEXT;
ALTER TABLE acme_order ADD COLUMN preferred_chain TEXT;
"""

# Certificates that are to be revoked; `certificate.revoked_at` says that it was done. With `waits`, only once they are not served any
# more. And the SHA-256 of the SubjectPublicKeyInfo of each key that must never be used again.
REVOCATIONS = """
CREATE TABLE revocation (
  certificate_id INTEGER PRIMARY KEY REFERENCES certificate (id),
  reason         TEXT NOT NULL,
  waits          INTEGER NOT NULL,
  requested_at   TEXT NOT NULL,
  retry_at       TEXT
) STRICT;

CREATE TABLE compromised_key (
  key TEXT PRIMARY KEY,
  at  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
"""

# The domains that C4 has and nobody manages, as of the last comparison with its inventory, when each was first seen, and
# whether that comparison missed it.
UNMANAGED = """
CREATE TABLE unmanaged_domain (
  id            INTEGER PRIMARY KEY,
  name          TEXT NOT NULL UNIQUE,
  first_seen_at TEXT NOT NULL,
  is_missed     INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX unmanaged_domain_by_time ON unmanaged_domain (first_seen_at, name);
"""

# Which edges serve another certificate for a domain than C4 has (`fingerprint` is empty for none, `version` that of one of ours), which
# edges do not answer, and up to which domain the nightly sample of edges has come. And since when a certificate of a domain is wanted
# although its DNS points elsewhere.
EDGES = """
CREATE TABLE edge_drift (
  domain_id   INTEGER NOT NULL REFERENCES domain (id),
  edge        TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  version     INTEGER,
  since       TEXT NOT NULL,
  late_at     TEXT NOT NULL,
  PRIMARY KEY (domain_id, edge)
) STRICT, WITHOUT ROWID;

CREATE INDEX edge_drift_by_edge ON edge_drift (edge, late_at);

CREATE TABLE silent_edge (
  edge  TEXT PRIMARY KEY,
  since TEXT NOT NULL,
  why   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE edge_sample (
  only_row  INTEGER PRIMARY KEY CHECK (only_row = 1),
  domain_id INTEGER NOT NULL
) STRICT;

ALTER TABLE domain ADD COLUMN before_cutover_since TEXT;
"""

# The CA that issued a certificate, by the URL of its directory; empty where it is not known. A certificate is stored in the
# transaction that closes its order. The index is only for the search of these orders.
ISSUING_CA = """
ALTER TABLE certificate ADD COLUMN ca TEXT NOT NULL DEFAULT '';

CREATE INDEX acme_order_issued ON acme_order (domain_id, closed_at, ca) WHERE outcome = 'issued';

UPDATE certificate SET ca = coalesce((
  SELECT acme_order.ca FROM acme_order
  WHERE acme_order.domain_id = certificate.domain_id AND outcome = 'issued' AND closed_at <= certificate.issued_at
  ORDER BY closed_at DESC LIMIT 1
), '') WHERE source = 'c4';

DROP INDEX acme_order_issued;
"""

# The keys of the account at the CA (`rules.account_key`), encrypted: at most one of each role. Only stateless mode needs them.
ACCOUNT_KEY = """
CREATE TABLE account_key (
  id         INTEGER PRIMARY KEY,
  role       TEXT NOT NULL UNIQUE,
  sealed     BLOB NOT NULL,
  created_at TEXT NOT NULL
) STRICT;
"""

# What each tick and each count ask of all domains, although few answer: which certificates in use expire soon or are revoked, which
# domains have a warning of their DNS, and of which there is more to say than when their certificate expires (`filters.IS_PLAIN`). A certificate that is served was not replaced; the column was always cleared then.
IN_USE = """
CREATE INDEX certificate_in_use ON certificate (not_after, domain_id, id, replaced_at) WHERE replaced_at IS NULL;
CREATE INDEX certificate_revoked ON certificate (id) WHERE revoked_at IS NOT NULL;
CREATE INDEX domain_by_caution ON domain (caution_code) WHERE caution_code IS NOT NULL;
CREATE INDEX domain_not_plain ON domain (id) WHERE deleted_at IS NULL
  AND NOT (source = 'c4' AND serving_id IS NOT NULL AND finding_code IS NULL AND unconfirmed_code IS NULL
    AND suspicion_code IS NULL AND caution_code IS NULL AND foreign_source IS NULL);
"""

# The seals of the archives of old history (`rules.history_seal`), encrypted; `number` counts from 1. Only events up to the newest `cut` may
# be deleted, and they count as deleted already. And what is in an archive and not deleted yet. The indexes are for the references to
# what is deleted: without them SQLite reads the whole table for each row.
HISTORY_SEALS = """
CREATE TABLE history_seal (
  number INTEGER PRIMARY KEY,
  cut    INTEGER NOT NULL,
  until  TEXT NOT NULL,
  sealed BLOB NOT NULL
) STRICT;

CREATE TABLE archived_certificate (
  id INTEGER PRIMARY KEY
) STRICT;

CREATE TABLE archived_order (
  id INTEGER PRIMARY KEY
) STRICT;

CREATE INDEX domain_by_wanted ON domain (wanted_id) WHERE wanted_id IS NOT NULL;
CREATE INDEX domain_by_serving ON domain (serving_id) WHERE serving_id IS NOT NULL;
CREATE INDEX acme_order_name_by_order ON acme_order_name (order_id);

DROP TRIGGER event_kept;
CREATE TRIGGER event_kept BEFORE DELETE ON event
WHEN OLD.id > coalesce((SELECT cut FROM history_seal ORDER BY number DESC LIMIT 1), -9223372036854775808)
BEGIN SELECT RAISE (ABORT, 'an event is never deleted before it is in a sealed archive'); END;
CREATE TRIGGER history_seal_kept BEFORE DELETE ON history_seal
BEGIN SELECT RAISE (ABORT, 'a seal is never deleted'); END;
CREATE TRIGGER history_seal_unchanged BEFORE UPDATE OF number, cut, until ON history_seal
BEGIN SELECT RAISE (ABORT, 'a seal is never changed'); END;
"""

# What `daemon-tick -q` has printed, for the ticks of several hosts (`rules.reported`); `states` is a JSON object with the time of each. With
# SQLite it stays empty: there a file has it (`cli.output.reported_file`).
REPORTED = """
CREATE TABLE reported (
  subject    TEXT PRIMARY KEY,
  kind       TEXT NOT NULL,
  states     TEXT NOT NULL,
  gone_since TEXT
) STRICT, WITHOUT ROWID;
"""
