"""The PostgreSQL store, read without any change."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from sslctl.errors import StateError
from sslctl.rules.database_server import DatabaseServer
from sslctl.rules.model import Milestone
from sslctl.store.keyring import Keyring
from sslctl.store.postgres import schema
from sslctl.store.postgres.database import Database
from sslctl.store.postgres.leases import Leases
from sslctl.store.sql import digests
from sslctl.store.sql.inspection import SqlInspection
from sslctl.text import clean

# Reserved connections are for superusers. Behind PgBouncer these are its connections to the server.
_SERVER = """SELECT current_setting('server_version') AS version, current_database() AS database, current_user AS role,
    (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS is_superuser,
    (SELECT pg_has_role(current_user, relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('event')) AS is_owner,
    current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
      - (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections_left,
    extract(epoch FROM clock_timestamp()) AS at"""


class Inspection(SqlInspection):
    """What can be read of the store in the database that `url` names. Raise `StateError`, also for another version's schema."""

    _database: Database

    def __init__(
        self,
        url: str,
        cas: Sequence[str],
        lock_folder: Path,
        *,
        keyring: Keyring | None = None,
        max_connections: int = 8,
    ) -> None:
        self._database = Database(url, max_connections=max_connections)
        self._max_connections = max_connections
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

    def server(self) -> DatabaseServer:
        before = self._clock()
        found = self._database.read(lambda row: row, _SERVER)[0]
        return DatabaseServer(
            version=found["version"].partition(" ")[0],
            database=clean(found["database"]),
            role=clean(found["role"]),
            is_superuser=found["is_superuser"],
            is_owner=found["is_owner"],
            fsync=found["fsync"],
            synchronous_commit=found["synchronous_commit"],
            skew=before - datetime.fromtimestamp(float(found["at"]), UTC),
            connections_left=found["connections_left"],
            # With that of the heartbeat, and that of a command beside the tick.
            connections_needed=self._max_connections + 2,
            is_private=self._database.is_private(),
        )

    def close(self) -> None:
        self._database.close()
