"""The version of the PostgreSQL schema, and the way to the current one.

Only `sslctl init` changes the schema, so that the role of every other command need not be able to.
"""

from __future__ import annotations

import psycopg
from psycopg.rows import scalar_row

from sslctl.errors import StateError
from sslctl.store.postgres.tables import FIRST, MIGRATIONS
from sslctl.store.sql import moved
from sslctl.text import clean

CURRENT = FIRST + len(MIGRATIONS) - 1
"""The version of the schema of this program."""

_VERSION = "SELECT version FROM schema_version"
_MAKE_VERSION = """CREATE TABLE schema_version (
    only_row BIGINT PRIMARY KEY CHECK (only_row = 1), version BIGINT NOT NULL)"""
_OTHERS = """SELECT nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relname = 'audit_chain' AND relkind IN ('r', 'p') AND nspname <> current_schema() LIMIT 1"""
# The same for all versions: two `sslctl init` at once wait for each other.
_LOCK = "SELECT pg_advisory_xact_lock(1936944227, 0)"


def find_version(connection: psycopg.Connection) -> int:
    """Return the version of the schema, 0 if there is none; it is negative if the state was moved. Raise `psycopg.Error`."""
    cursor = connection.cursor(row_factory=scalar_row)
    if cursor.execute("SELECT to_regclass('schema_version')").fetchone() is None:
        return 0
    return int(cursor.execute(_VERSION).fetchone() or 0)


def require_here(connection: psycopg.Connection) -> None:
    """Raise `StateError` if the state was moved from the database, which has tables."""
    cursor = connection.cursor(row_factory=scalar_row)
    if int(cursor.execute(_VERSION).fetchone() or 0) < 0:
        raise moved.elsewhere(
            f"the database {connection.info.dbname}", connection.execute(moved.SELECT_MARK).fetchone()
        )


def require_current(connection: psycopg.Connection) -> None:
    """Raise `StateError` if there is no schema, one of another version, or if the state was moved."""
    version = find_version(connection)
    if version == 0:
        raise StateError(
            "there is no state in the database that state.url names",
            hint="check state.url; `sslctl init` makes the state, as a role that may create tables",
        )
    require_here(connection)
    if version < CURRENT:
        raise StateError(
            f"the database was written by an older sslctl: its schema is {version}, and that of this program {CURRENT}",
            hint="`sslctl init` brings it up to date, as the role that made its tables",
        )
    require_known(version)


def require_known(version: int) -> None:
    """Raise `StateError` if a newer sslctl made the schema."""
    if version > CURRENT:
        raise StateError(
            f"the database was written by a newer sslctl: its schema is {version}, and this program knows {CURRENT}",
            hint="update sslctl on this machine",
        )


def migrate(connection: psycopg.Connection) -> None:
    """Make the schema, or bring it up to date, in one transaction. Raise `StateError` and `psycopg.Error`."""
    with connection.transaction():
        connection.execute(_LOCK)
        version = find_version(connection)
        if version:
            require_here(connection)
        require_known(version)
        if version == 0:
            _require_utf8(connection)
            _require_no_other(connection)
            connection.execute(_MAKE_VERSION)
            connection.execute("INSERT INTO schema_version (only_row, version) VALUES (1, 0)")
        for number, migration in enumerate(MIGRATIONS, FIRST):
            if number > version:
                connection.execute(migration.replace(" TEXT", ' TEXT COLLATE "C"').encode())
                connection.execute("UPDATE schema_version SET version = %s", (number,))


def _require_no_other(connection: psycopg.Connection) -> None:
    """Raise `StateError` if the tables are in another schema of the database: a dump has no search path of a role."""
    found = connection.execute(_OTHERS).fetchone()
    if found is not None:
        raise StateError(
            f"the schema {clean(found[0])} of the database has the tables of sslctl, and this role looks for them elsewhere",
            hint="set its search path, as docs/postgres.md does: ALTER ROLE … IN DATABASE … SET search_path = …; a second state"
            " needs a database of its own",
        )


def _require_utf8(connection: psycopg.Connection) -> None:
    cursor = connection.cursor(row_factory=scalar_row)
    encoding = cursor.execute("SELECT current_setting('server_encoding')").fetchone()
    if encoding != "UTF8":
        raise StateError(
            f"the database has the encoding {encoding}, and sslctl needs UTF8",
            hint="make it with `createdb --template=template0 --encoding=UTF8 NAME`",
        )
