"""The SQLite store, read without any change: no file is made, and no migration applied."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from sslctl.rules.limits import NO_LIMITS
from sslctl.rules.model import Milestone
from sslctl.store.keyring import Keyring
from sslctl.store.sql.account_keys import SqlAccountKeys
from sslctl.store.sql.budget import SqlBudget
from sslctl.store.sql.claims import SqlClaims
from sslctl.store.sql.maintenance_pauses import SqlMaintenancePauses
from sslctl.store.sql.queries import SqlQueries
from sslctl.store.sqlite.damage import START, Place
from sslctl.store.sqlite.database import Database
from sslctl.store.sqlite.presence import lock_folder_of
from sslctl.store.sqlite.waiting import Waiting

_WAITING = Waiting(read_seconds=15)


class Inspection(SqlQueries, SqlBudget, SqlClaims, SqlMaintenancePauses, SqlAccountKeys):
    """What can be read of the store in `path`. `cas` are the URLs of the directories of the CAs; only account keys need the `keyring`.

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
        SqlBudget.__init__(self, dict.fromkeys(cas, NO_LIMITS))
        if keyring is not None:
            self._keyring = keyring
        self._clock = lambda: datetime.now(UTC)
        self._lock_folder = lock_folder_of(path)
        self._database = Database(path, read_only=True, waiting=waiting or _WAITING)

    def find_damage(self, seconds: float) -> str | None:
        """Search for damage for about `seconds`; return it, empty for none, None if not all was searched.

        Of a large file the search begins at the part that the next tick checks.
        """
        found = self._database.find_damage(seconds)
        if found is not None:
            return found
        last = self.milestones().get(Milestone.DAMAGE_SEARCH)
        place = Place.load(last.detail if last else "")
        is_whole = self._database.search_on(place, seconds) is None and place == START
        return "" if is_whole else None

    def close(self) -> None:
        """Close the database."""
        self._database.close()
