"""The store in one SQLite file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from sslctl.rules.limits import NO_CA, Limits
from sslctl.rules.model import Milestone
from sslctl.store.interface import Store
from sslctl.store.interface.maintenance import Copy
from sslctl.store.keyring import Keyring
from sslctl.store.sql.lives import LockFiles
from sslctl.store.sql.store import SqlStore
from sslctl.store.sqlite.damage import START, Place
from sslctl.store.sqlite.database import Database
from sslctl.store.sqlite.presence import lock_folder_of
from sslctl.store.sqlite.waiting import Waiting
from sslctl.text import clean


class SqliteStore(SqlStore, Store):
    """`Store` in the SQLite file `path`.

    With `create` what is missing of the state is made: the database, and the key file if the database is new.
    `actor` is written into every event. `limits` are the rate limits of each CA by the URL of its directory, the first one's first. `waiting` is how long to wait while another process has locked the file; then `StateBusy` is raised.
    """

    _database: Database

    def __init__(
        self,
        path: Path,
        keyring: Keyring,
        *,
        clock: Callable[[], datetime],
        actor: str,
        limits: Mapping[str, Limits] = NO_CA,
        create: bool = False,
        waiting: Waiting | None = None,
    ) -> None:
        self._path = path
        self._waiting = waiting or Waiting()
        database = Database(path, create=create, waiting=self._waiting)
        try:
            super().__init__(
                database,
                keyring,
                clock=clock,
                actor=actor,
                limits=limits,
                create=create,
                lives=LockFiles(lock_folder_of(path)),
            )
        except BaseException:
            database.close()
            raise

    def back_up(self, path: Path, *, force: bool = False) -> Copy:
        from sslctl.store.sqlite import copies  # noqa: PLC0415 - every command imports this module

        spared = (self._path, self._keyring.path)
        copy = copies.back_up(self._path, path, self._waiting, force=force, spared=spared)
        with self.transaction():
            self.record_milestone(Milestone.BACKED_UP, clean(path))
            # The copy was searched as a whole.
            self.record_milestone(Milestone.CHECKED, "")
        return copy

    def require_right_clock(self) -> timedelta:
        """See `Maintenance`: both are this machine."""
        return timedelta()

    def check_integrity(self, seconds: float) -> bool:
        return self._database.check_integrity(seconds)

    def _search_on(self, place: str, seconds: float) -> tuple[str, bool]:
        found = self._database.search_on(Place.load(place), seconds)
        return (found or START).dump(), found is None

    def check_domains(self, names: Sequence[str]) -> None:
        self._database.check_domains(names)

    def close(self) -> None:
        self._end_claims()
        self._database.close()
