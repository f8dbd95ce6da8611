"""The store in one PostgreSQL database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sslctl.errors import BadInput, Busy
from sslctl.rules import wrong_clock
from sslctl.rules.limits import NO_CA, Limits
from sslctl.store.interface import Store
from sslctl.store.interface.maintenance import Copy
from sslctl.store.keyring import Keyring
from sslctl.store.postgres.database import Database
from sslctl.store.postgres.leases import Leases
from sslctl.store.sql import digests
from sslctl.store.sql.store import SqlStore


class PostgresStore(SqlStore, Store):
    """`Store` in the PostgreSQL database that `url`, a connection string of libpq, names.

    With `create` what is missing of the state is made: the tables, and the key file if the database is new.
    `lock_folder` is the folder of the files by which processes of this machine prove that they live. `lock_seconds` is how
    long a change waits for others; then `StateBusy` is raised. `max_connections` are those of this process without the heartbeat's. `wall_clock` is that of the machine. The other arguments are those of `SqliteStore`.
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
        limits: Mapping[str, Limits] = NO_CA,
        create: bool = False,
        lock_seconds: float = 600,
        max_connections: int = 8,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._wall_clock = wall_clock
        database = Database(url, create=create, lock_seconds=lock_seconds, max_connections=max_connections)
        try:
            super().__init__(
                database,
                keyring,
                clock=clock,
                actor=actor,
                limits=limits,
                create=create,
                lives=Leases(lock_folder, database, url),
            )
        except BaseException:
            database.close()
            raise

    def back_up(self, path: Path, *, force: bool = False) -> Copy:  # noqa: ARG002 - see `Maintenance`
        raise BadInput(
            "the state is in PostgreSQL, which sslctl does not back up",
            hint="docs/postgres.md describes the backup with pg_dump; back up the key file apart from it",
        )

    def require_right_clock(self) -> timedelta:
        began = self._wall_clock()
        sql = "SELECT extract(epoch FROM clock_timestamp())"
        theirs = self._database.read(lambda row: datetime.fromtimestamp(float(row[0]), UTC), sql)[0]
        ahead = began - theirs
        if abs(ahead) >= wrong_clock.REFUSED_FROM:
            raise Busy(
                f"the clock of this machine is {wrong_clock.describe(ahead)} that of the database, so nothing was done: what is due would"
                " be found wrongly, for all machines",
                hint="synchronise the clocks of this machine and of the database with NTP, then run the command again",
            )
        return ahead

    def check_integrity(self, seconds: float) -> bool:  # noqa: ARG002 - PostgreSQL checks its pages itself
        return False

    def _search_on(self, place: str, seconds: float) -> tuple[str, bool]:
        # The server checks its pages.
        last = digests.search_on(self._database, int(place) if place.isdecimal() else 0, seconds)
        return str(last or 0), last is None

    def check_domains(self, names: Sequence[str]) -> None:
        digests.check_domains(self._database, names)

    def close(self) -> None:
        self._end_claims()
        self._database.close()
