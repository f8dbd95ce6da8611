"""Many new domains at once: two statements for some thousand of them, where `enrol` takes three for each."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sslctl.model import Source
from sslctl.reasons import Code
from sslctl.store.database import Run

# Sorted, the names go into the indexes side by side.
_RECORD = f"""INSERT INTO domain
    (name, sans, source, created_at, finding_code, finding_found, finding_wanted, finding_at, retry_at)
    SELECT value, '[]', '{Source.C4}', :at, '{Code.QUEUED}', '', '', :at, :at FROM json_each(:names)
    WHERE true ORDER BY value ON CONFLICT (name) DO NOTHING"""  # noqa: S608 - constants

# Rows are never removed, so that new ones have the highest numbers.
_TELL = """INSERT INTO event (domain_id, at, actor, kind, detail)
    SELECT id, :at, :actor, 'added', :detail FROM domain WHERE id > :last ORDER BY id"""


def record_new(run: Run, names: Sequence[str], at: str, actor: str, detail: str) -> list[str]:
    """Record those of `names` that were never added before, with the event of each; give the others, in order.

    `detail` is what the events say.
    """
    last = run("SELECT coalesce(max(id), 0) FROM domain").fetchone()[0]
    values = {"names": json.dumps(names), "at": at, "last": last, "actor": actor, "detail": detail}
    run(_RECORD, values)
    run(_TELL, values)
    new = {row[0] for row in run("SELECT name FROM domain WHERE id > ?", (last,))}
    return [name for name in names if name not in new]
