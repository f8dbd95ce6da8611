"""The SQLite store, looked at without changing anything in it: no file is made, and no migration applied."""

from __future__ import annotations

from pathlib import Path

from sslctl.rules.limits import NO_LIMITS
from sslctl.store.sql import claims
from sslctl.store.sql.budget import Budget
from sslctl.store.sql.queries import Queries
from sslctl.store.sqlite.database import Database


class Inspection(Queries, Budget):
    """What can be read of the store in `path`, but its keys. `ca` is the URL of the CA's directory.

    Raises `StateError`, also where the database is not of this version.
    """

    _database: Database

    def __init__(self, path: Path, ca: str) -> None:
        Budget.__init__(self, ca, NO_LIMITS)
        self._database = Database(path, read_only=True)

    def find_damage(self, seconds: float) -> str | None:
        """Look for damage for so long; give what was found, empty for none, None where that was too short."""
        return self._database.find_damage(seconds)

    def is_claimed(self, name: str) -> bool:
        """Say whether `name` is claimed by a process that is not known to be gone."""
        owners = self._database.read(
            lambda row: str(row["owner"]), "SELECT owner FROM lease WHERE name = ?", (name,)
        )
        return any(not claims.is_gone(owner) for owner in owners)

    def close(self) -> None:
        """Close the database."""
        self._database.close()
