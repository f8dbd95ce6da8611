"""The version of the SQLite schema, and the way to the current one.

`PRAGMA user_version` is the number of migrations applied, and changes in the same transaction as each of them.
`PRAGMA application_id` marks a file as sslctl's, so that a foreign database is refused and never written to.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache

from sslctl.errors import StateError
from sslctl.store.sql import moved
from sslctl.store.sqlite import migrations
from sslctl.store.sqlite.migrations import MIGRATIONS
from sslctl.text import clean

APPLICATION_ID = 0x73736C63  # "sslc"
MOVED_ID = 0x73736C6D  # "sslm"
"""That of a database that is marked as moved (`sql.moved`): releases that do not know the mark refuse it, too."""


def prepare(connection: sqlite3.Connection, shown_as: str, *, may_be_empty: bool = False) -> None:
    """Set the connection's pragmas, refuse a foreign or newer database, and apply the migrations that are missing.

    A database without tables is refused too, unless it `may_be_empty` because it is being created. Raise `StateError`, naming the file `shown_as`, and `sqlite3.DatabaseError` if it is not an SQLite database.
    """
    is_empty = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    if not (is_empty and _pragma(connection, "application_id") == 0):
        require_known(connection, shown_as)
    elif not may_be_empty:
        raise StateError(
            f"the state was lost: {shown_as} has no tables",
            hint="`sslctl restore FILE` brings it back from a backup; nothing was changed",
        )
    # With a rollback journal, EXTRA also syncs the folder after the journal is deleted: an acknowledged commit survives a
    # power cut. secure_delete overwrites deleted keys.
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
    """Raise `StateError` unless the database is sslctl's, of this version or an older one. Nothing is written."""
    require_here(connection, shown_as)
    if _pragma(connection, "application_id") != APPLICATION_ID:
        raise StateError(
            f"{shown_as} is a database of another program",
            hint="name another folder in state.dir; nothing was written to this one",
        )
    version = _pragma(connection, "user_version")
    if not 0 <= version <= len(MIGRATIONS):
        raise StateError(
            f"{shown_as} was written by a newer sslctl: its schema is {version}, and this program knows {len(MIGRATIONS)}",
            hint="update sslctl on this machine; docs/upgrade.md describes the way back to the older one",
        )


def require_here(connection: sqlite3.Connection, shown_as: str) -> None:
    """Raise `StateError` if the state was moved from the database."""
    if _pragma(connection, "application_id") == MOVED_ID:
        row = connection.execute(moved.SELECT_MARK).fetchone()
        raise moved.elsewhere(shown_as, tuple(row) if row else None)


def require_current(connection: sqlite3.Connection, shown_as: str) -> None:
    """Raise `StateError` unless the database is sslctl's, of this version."""
    require_known(connection, shown_as)
    version = _pragma(connection, "user_version")
    if version != len(MIGRATIONS):
        raise StateError(
            f"{shown_as} was written by an older sslctl: its schema is {version}, and that of this program {len(MIGRATIONS)}",
            hint="the next command that uses the state brings it up to date",
        )


def find_alteration(connection: sqlite3.Connection) -> str:
    """Return how the schema differs from the one that sslctl made for its version, in words; empty if it does not.

    A trigger or a view that somebody added would be run or read by every command. What `ANALYZE` keeps is ignored. The
    names in the result are not cleaned.
    """
    expected = _unaltered(_pragma(connection, "user_version"))
    found = _objects(connection)
    for key in sorted(expected.keys() | found.keys()):
        if found.get(key) != expected.get(key):
            change = "missing" if key not in found else "changed" if key in expected else "not sslctl's"
            return f"the {key[0]} {key[1]} is {change}"
    return ""


def require_unaltered(connection: sqlite3.Connection, shown_as: str) -> None:
    """Raise `StateError` if the schema is not the one that sslctl made for its version. Nothing is written."""
    alteration = find_alteration(connection)
    if alteration:
        raise StateError(
            f"{shown_as} is not as sslctl made it: {clean(alteration)}",
            hint="use another backup, and find out who could write to this one",
        )


@cache
def _unaltered(version: int) -> dict[tuple[str, str], tuple[str, str | None]]:
    """Return the objects of the schema `version`, as sslctl makes it."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as unaltered:
        migrations.add_functions(unaltered)
        for number in range(version):
            migrations.apply(unaltered, number)
        return _objects(unaltered)


def _objects(connection: sqlite3.Connection) -> dict[tuple[str, str], tuple[str, str | None]]:
    """Return the tables, indexes, triggers and views by type and name, each with its table and its SQL."""
    sql = (
        r"SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\_stat%' ESCAPE '\'"
    )
    return {(kind, name): (table, text) for kind, name, table, text in connection.execute(sql)}


def _migrate(connection: sqlite3.Connection) -> None:
    migrations.add_functions(connection)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        # Read again under the lock: another process may have migrated while this one waited.
        for number in range(_pragma(connection, "user_version"), len(MIGRATIONS)):
            migrations.apply(connection, number)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        # SQLite itself rolls back after some errors, a full disk among them.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value
