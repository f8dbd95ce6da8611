"""The queries of `sql.name_prefix` in PostgreSQL. Whoever presses TAB waits for no server, name server or network that is silent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from threading import Thread

import psycopg

from sslctl.store.postgres.connecting import connect
from sslctl.store.postgres.dialect import with_parameters
from sslctl.store.sql.name_prefix import ASSIGNEES_SQL, MOST_NAMES, NAMES_SQL, other_names_sql, values_of

# Strings, in the order of their bytes as the names of domains.
_ELEMENTS = """LATERAL (SELECT value COLLATE "C" AS value FROM json_array_elements_text(domain.sans::json)) AS listed"""


def find_names(
    url: str, prefix: str, *, managed: bool, deleted: bool, other_names: bool, seconds: float
) -> list[str]:
    """Return what `sqlite.name_prefix.find_names` does, from the database that `url` names; what is found within `seconds`."""
    queries = [NAMES_SQL]
    if other_names and prefix:
        queries.append(other_names_sql(_ELEMENTS))
    return _find(url, queries, values_of(prefix, managed=managed, deleted=deleted), seconds)


def find_assignees(url: str, prefix: str, *, seconds: float) -> list[str]:
    """Return what `sqlite.name_prefix.find_assignees` does, from the database that `url` names."""
    return _find(url, [ASSIGNEES_SQL], {"prefix": prefix, "most": MOST_NAMES}, seconds)


def _find(url: str, queries: Sequence[str], values: Mapping[str, object], seconds: float) -> list[str]:
    """Return the results of `queries`, sorted: those that the server gives within `seconds`. No error is reported."""
    found = list[str]()

    def ask() -> None:
        with suppress(psycopg.Error), connect(url) as connection, connection.transaction():
            # A server that is asked for nothing any more ends the search as well.
            connection.execute(f"SET LOCAL statement_timeout = {round(seconds * 1000)}".encode())
            for query in queries:
                if len(found) < MOST_NAMES:
                    found.extend(name for (name,) in connection.execute(with_parameters(query), values))

    # libpq limits how long it waits for a connection, to two seconds and more, but not for its name or for an answer.
    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    return sorted(set(found))[:MOST_NAMES]
