"""The store in one SQLite file."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from sslctl.rules.limits import NO_LIMITS, Limits
from sslctl.rules.model import Milestone
from sslctl.store.interface import Store
from sslctl.store.interface.maintenance import Copy
from sslctl.store.keyring import Keyring
from sslctl.store.sql.store import SqlStore
from sslctl.store.sqlite import copies
from sslctl.store.sqlite.database import Database
from sslctl.text import clean


class SqliteStore(SqlStore, Store):
    """`Store` in the SQLite file `path`.

    With `create` what is missing of the state is made: the database, and the key file if the database is new.
    `actor` is written into every event. `ca` is the URL of the CA's directory, `limits` are its rate limits.
    """

    _database: Database

    def __init__(
        self,
        path: Path,
        keyring: Keyring,
        *,
        clock: Callable[[], datetime],
        actor: str,
        ca: str = "",
        limits: Limits = NO_LIMITS,
        create: bool = False,
    ) -> None:
        self._path = path
        database = Database(path, create=create)
        try:
            super().__init__(database, keyring, clock=clock, actor=actor, ca=ca, limits=limits, create=create)
        except BaseException:
            database.close()
            raise

    def back_up(self, path: Path, *, force: bool = False) -> Copy:
        copy = copies.back_up(self._path, path, force=force, spared=(self._path, self._keyring.path))
        self.record_milestone(Milestone.BACKED_UP, clean(path))
        return copy

    def check_integrity(self, seconds: float) -> bool:
        return self._database.check_integrity(seconds)

    def close(self) -> None:
        self._database.close()
