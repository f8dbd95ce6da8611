"""The store in one PostgreSQL database."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from sslctl.errors import BadInput
from sslctl.rules.limits import NO_LIMITS, Limits
from sslctl.rules.model import Milestone
from sslctl.store.interface import Store
from sslctl.store.interface.maintenance import Copy
from sslctl.store.keyring import Keyring
from sslctl.store.postgres.database import Database
from sslctl.store.sql import rows
from sslctl.store.sql.connection import Row
from sslctl.store.sql.store import SqlStore

# So many certificates are read at a time.
_BLOCK = 200
_SELECT_BUNDLES = rows.SELECT_BUNDLE.replace("SELECT ", "SELECT id, ", 1).replace(
    "WHERE id = ?", f"WHERE id > ? ORDER BY id LIMIT {_BLOCK}"
)
_SELECT_BUNDLES_OF = rows.SELECT_BUNDLE.replace(
    "WHERE id = ?",
    "WHERE id IN (SELECT wanted_id FROM domain WHERE name IN (SELECT value FROM {names})"
    " UNION SELECT serving_id FROM domain WHERE name IN (SELECT value FROM {names}))",
)


class PostgresStore(SqlStore, Store):
    """`Store` in the PostgreSQL database that `url`, a connection string of libpq, names.

    With `create` what is missing of the state is made: the tables, and the key file if the database is new.
    `lock_folder` is the folder of the files by which processes of this machine prove that they live. `lock_seconds` is how
    long a change waits for others; then `StateBusy` is raised. The other arguments are those of `SqliteStore`.
    """

    _database: Database

    def __init__(
        self,
        url: str,
        keyring: Keyring,
        *,
        clock: Callable[[], datetime],
        actor: str,
        lock_folder: Path,
        ca: str = "",
        limits: Limits = NO_LIMITS,
        fallbacks: Mapping[str, Limits] = MappingProxyType({}),
        create: bool = False,
        lock_seconds: float = 600,
    ) -> None:
        database = Database(url, create=create, lock_seconds=lock_seconds)
        try:
            super().__init__(
                database,
                keyring,
                clock=clock,
                actor=actor,
                limits={ca: limits, **fallbacks},
                create=create,
                lock_folder=lock_folder,
            )
        except BaseException:
            database.close()
            raise

    def back_up(self, path: Path, *, force: bool = False) -> Copy:  # noqa: ARG002 - see `Maintenance`
        raise BadInput(
            "the state is in PostgreSQL, which sslctl does not back up",
            hint="docs/postgres.md describes the backup with pg_dump; back up the key file apart from it",
        )

    def check_integrity(self, seconds: float) -> bool:  # noqa: ARG002 - PostgreSQL checks its pages itself
        return False

    def continue_check(self, seconds: float) -> None:
        """See `Maintenance`. The server checks its pages; this compares each certificate with its digest."""
        end = time.monotonic() + seconds
        while True:
            last = self.milestones().get(Milestone.DAMAGE_SEARCH)
            place = int(last.detail) if last and last.detail.isdecimal() else 0
            found = self._database.read(_checked_id_of, _SELECT_BUNDLES, (place,))
            with self.transaction():
                if not found:
                    self.record_milestone(Milestone.CHECKED, "")
                self.record_milestone(Milestone.DAMAGE_SEARCH, str(found[-1] if found else 0))
            if not found or time.monotonic() > end:
                return

    def check_domains(self, names: Sequence[str]) -> None:

        texts = self._database.dialect.texts(":names")
        sql = _SELECT_BUNDLES_OF.format(names=texts)
        self._database.read(rows.require_unchanged, sql, {"names": json.dumps(list(names))})

    def close(self) -> None:
        self._end_claims()
        self._database.close()


def _checked_id_of(row: Row) -> int:
    rows.require_unchanged(row)
    return int(row["id"])
