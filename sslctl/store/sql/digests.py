"""Search for certificates that are not as they were stored, in a database that checks its own pages."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from sslctl.store.sql import rows
from sslctl.store.sql.connection import Connection, Row

# So many certificates are read at a time.
_BLOCK = 200
_BUNDLE = rows.SELECT_BUNDLE.removesuffix("WHERE id = ?")
_FOLLOWING = f"{_BUNDLE.replace('SELECT ', 'SELECT id, ', 1)} WHERE id > ? ORDER BY id LIMIT {_BLOCK}"
_OF_DOMAINS = f"""{_BUNDLE} WHERE id IN (
    SELECT wanted_id FROM domain WHERE name IN (SELECT value FROM {{names}})
    UNION SELECT serving_id FROM domain WHERE name IN (SELECT value FROM {{names}}))"""  # noqa: S608 - constants


def search_on(database: Connection, place: int, seconds: float) -> int | None:
    """Compare the certificates behind the id `place` with their digests, for about `seconds`.

    Return the id of the last one, None at the end. Raise `StateError` if one has changed.
    """
    end = time.monotonic() + seconds
    while True:
        found = database.read(_checked_id_of, _FOLLOWING, (place,))
        if not found:
            return None
        place = found[-1]
        if time.monotonic() > end:
            return place


def check_domains(database: Connection, names: Sequence[str]) -> None:
    """Do the same for the certificates that the domains `names` want or serve."""
    sql = _OF_DOMAINS.format(names=database.dialect.texts(":names"))
    database.read(rows.require_unchanged, sql, {"names": json.dumps(list(names))})


def _checked_id_of(row: Row) -> int:
    rows.require_unchanged(row)
    return int(row["id"])
