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
