"""The PostgreSQL store, read without any change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sslctl.errors import StateError
from sslctl.rules.model import Milestone
from sslctl.store.keyring import Keyring
from sslctl.store.postgres import schema
from sslctl.store.postgres.database import Database
from sslctl.store.postgres.leases import Leases
from sslctl.store.sql import digests
from sslctl.store.sql.inspection import SqlInspection


class Inspection(SqlInspection):
    """What can be read of the store in the database that `url` names. Raise `StateError`, also for another version's schema."""

    _database: Database

    def __init__(
        self, url: str, cas: Sequence[str], lock_folder: Path, *, keyring: Keyring | None = None
    ) -> None:
        self._database = Database(url)
        super().__init__(cas, Leases(lock_folder, self._database, url), keyring)

    def find_damage(self, seconds: float) -> str | None:
        last = self.milestones().get(Milestone.DAMAGE_SEARCH)
        place = int(last.detail) if last and last.detail.isdecimal() else 0
        try:
            is_whole = digests.search_on(self._database, place, seconds) is None and place == 0
        except StateError as error:
            return error.message
        return "" if is_whole else None

    def describe(self) -> str:
        version = self._database.read(lambda row: str(row[0]), "SELECT current_setting('server_version')")[0]
        return f"schema {schema.CURRENT}, PostgreSQL {version.partition(' ')[0]}"

    def close(self) -> None:
        self._database.close()
