"""The SQLite store, read without any change: no file is made, and no migration applied."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sslctl.rules.model import Milestone
from sslctl.store.keyring import Keyring
from sslctl.store.sql.inspection import SqlInspection
from sslctl.store.sql.lives import LockFiles
from sslctl.store.sqlite.damage import START, Place
from sslctl.store.sqlite.database import Database
from sslctl.store.sqlite.migrations import MIGRATIONS
from sslctl.store.sqlite.presence import lock_folder_of
from sslctl.store.sqlite.waiting import Waiting

_WAITING = Waiting(read_seconds=15)


class Inspection(SqlInspection):
    """What can be read of the store in `path`.

    Raise `StateError`, also if the database has another version's schema, and `StateBusy` if it is locked for longer than
    `waiting` allows, by default for 15 seconds.
    """

    _database: Database

    def __init__(
        self,
        path: Path,
        cas: Sequence[str],
        *,
        waiting: Waiting | None = None,
        keyring: Keyring | None = None,
    ) -> None:
        super().__init__(cas, LockFiles(lock_folder_of(path)), keyring)
        self._database = Database(path, read_only=True, waiting=waiting or _WAITING)

    def find_damage(self, seconds: float) -> str | None:
        found = self._database.find_damage(seconds)
        if found is not None:
            return found
        last = self.milestones().get(Milestone.DAMAGE_SEARCH)
        place = Place.load(last.detail if last else "")
        is_whole = self._database.search_on(place, seconds) is None and place == START
        return "" if is_whole else None

    def describe(self) -> str:
        return f"schema {len(MIGRATIONS)}"

    def close(self) -> None:
        self._database.close()
