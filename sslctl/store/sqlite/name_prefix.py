"""The queries of `sql.name_prefix` in SQLite. The file is opened for reading, whatever its schema is, and nothing is waited for long."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from sslctl.store.sql.name_prefix import ASSIGNEES_SQL, MOST_NAMES, NAMES_SQL, other_names_sql, values_of

_STEPS_BETWEEN_CHECKS = 2000


def find_names(
    path: Path, prefix: str, *, deleted: bool, other_names: bool, seconds: float, managed: bool = True
) -> list[str]:
    """Return at most `MOST_NAMES` names in the database `path` that begin with `prefix`, sorted.

    These are domains that are `managed`, with `deleted` deleted ones too, and with `other_names` the other names (SANs) of certificates, if
    `prefix` is not empty. These have no index, so after `seconds` their search ends. Raise `sqlite3.Error` if
    the database cannot be read, or is still locked after `seconds`.
    """
    values = values_of(prefix, managed=managed, deleted=deleted)
    end = time.monotonic() + seconds
    with closing(_connect(path, seconds)) as connection:
        names = {name for (name,) in connection.execute(NAMES_SQL, values)}
        if other_names and prefix and len(names) < MOST_NAMES:
            connection.execute("PRAGMA busy_timeout = 0")
            connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS_BETWEEN_CHECKS)
            try:
                for (name,) in connection.execute(other_names_sql("json_each(domain.sans)"), values):
                    names.add(name)
            except sqlite3.OperationalError:
                # The time is over; the names of domains are the better part of the answer.
                pass
    return sorted(names)[:MOST_NAMES]


def find_assignees(path: Path, prefix: str, *, seconds: float) -> list[str]:
    """Return at most `MOST_NAMES` assignees in the database `path` that begin with `prefix`, sorted.

    Raise `sqlite3.Error` if the database cannot be read, is of a schema without assignees, or needs more than `seconds`.
    """
    end = time.monotonic() + seconds
    with closing(_connect(path, seconds)) as connection:
        connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS_BETWEEN_CHECKS)
        found = connection.execute(ASSIGNEES_SQL, {"prefix": prefix, "most": MOST_NAMES})
        return sorted(who for (who,) in found)


def _connect(path: Path, seconds: float) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(uri, uri=True, timeout=seconds, isolation_level=None)
