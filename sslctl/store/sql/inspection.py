"""The store of any SQL database, read without any change, for `doctor`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import UTC, datetime

from sslctl.rules.database_server import DatabaseServer
from sslctl.rules.limits import NO_LIMITS
from sslctl.store.keyring import Keyring
from sslctl.store.sql.account_keys import SqlAccountKeys
from sslctl.store.sql.budget import SqlBudget
from sslctl.store.sql.claims import SqlClaims
from sslctl.store.sql.lives import LockFiles
from sslctl.store.sql.maintenance_pauses import SqlMaintenancePauses
from sslctl.store.sql.queries import SqlQueries


class SqlInspection(SqlQueries, SqlBudget, SqlClaims, SqlMaintenancePauses, SqlAccountKeys):
    """What can be read of a store. `cas` are the URLs of the directories of the CAs; only account keys need the `keyring`."""

    def __init__(self, cas: Sequence[str], lives: LockFiles, keyring: Keyring | None) -> None:
        SqlBudget.__init__(self, dict.fromkeys(cas, NO_LIMITS))
        if keyring is not None:
            self._keyring = keyring
        self._clock = lambda: datetime.now(UTC)
        self._lives = lives

    @abstractmethod
    def find_damage(self, seconds: float) -> str | None:
        """Search for damage for about `seconds`; return it, empty for none, None if not all was searched.

        Of a large state the search begins at the part that the next tick checks.
        """

    @abstractmethod
    def describe(self) -> str:
        """Return the schema and, of a server, its version."""

    def server(self) -> DatabaseServer | None:
        """Return the server of the database; None if it is a file of this machine."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Close the database."""
