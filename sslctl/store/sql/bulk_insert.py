"""Many new domains at once: one statement for some thousand of them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sslctl.rules.model import Source
from sslctl.rules.reasons import Code
from sslctl.store.sql.connection import Run

# Sorted, the names go into the indexes side by side.
_RECORD = f"""INSERT INTO domain
    (name, sans, source, created_at, finding_code, finding_found, finding_wanted, finding_at, retry_at)
    SELECT value, '[]', '{Source.C4}', :at, '{Code.QUEUED}', '', '', :at, :at FROM json_each(:names)
    WHERE true ORDER BY value ON CONFLICT (name) DO NOTHING"""  # noqa: S608 - constants


def record_new(run: Run, names: Sequence[str], at: str) -> dict[str, int]:
    """Record those of `names` that were never added before; give these with their ids, in the order of the ids."""
    # Rows are never removed, so that new ones have the highest numbers.
    last = run("SELECT coalesce(max(id), 0) FROM domain").fetchone()[0]
    run(_RECORD, {"names": json.dumps(names), "at": at})
    return dict(run("SELECT name, id FROM domain WHERE id > ? ORDER BY id", (last,)).fetchall())
