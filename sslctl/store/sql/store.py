"""The whole store over any SQL database: all parts put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime

from sslctl.errors import StateError
from sslctl.rules.limits import Limits
from sslctl.store.keyring import Keyring
from sslctl.store.sql.account_keys import SqlAccountKeys
from sslctl.store.sql.archives import SqlArchives
from sslctl.store.sql.budget import SqlBudget
from sslctl.store.sql.connection import Connection, Serial
from sslctl.store.sql.cutovers import SqlCutovers
from sslctl.store.sql.edges import SqlEdges
from sslctl.store.sql.figures import SqlFigures
from sslctl.store.sql.inventory import SqlInventory
from sslctl.store.sql.keys import SqlKeys
from sslctl.store.sql.lives import LockFiles
from sslctl.store.sql.maintenance import SqlDamageSearch
from sslctl.store.sql.maintenance_pauses import SqlMaintenancePauses
from sslctl.store.sql.metrics import SqlMetrics
from sslctl.store.sql.notices import SqlNotices
from sslctl.store.sql.part import SELECT_KEY_CHECK
from sslctl.store.sql.renewals import SqlRenewals
from sslctl.store.sql.reported import SqlReportedTroubles
from sslctl.store.sql.revocations import SqlRevocations
from sslctl.store.sql.transitions import SqlTransitions
from sslctl.store.sql.versions import SqlVersions


class SqlStore(
    SqlVersions,
    SqlRenewals,
    SqlRevocations,
    SqlKeys,
    SqlNotices,
    SqlReportedTroubles,
    SqlMaintenancePauses,
    SqlFigures,
    SqlInventory,
    SqlMetrics,
    SqlTransitions,
    SqlEdges,
    SqlCutovers,
    SqlAccountKeys,
    SqlArchives,
    SqlDamageSearch,
):
    """Everything of `Store` that is common to SQL databases; see `SqliteStore` for the arguments."""

    def __init__(
        self,
        database: Connection,
        keyring: Keyring,
        *,
        clock: Callable[[], datetime],
        actor: str,
        limits: Mapping[str, Limits],
        create: bool,
        lives: LockFiles,
    ) -> None:
        SqlBudget.__init__(self, limits)
        self._database = database
        self._keyring = keyring
        self._clock = clock
        self._actor = actor
        self._lives = lives
        self._check_keyring(create=create)

    def _check_keyring(self, *, create: bool) -> None:
        """Make the key file together with the database, and never again: a new one would decrypt none of the old keys."""
        if not self._database.read(tuple, SELECT_KEY_CHECK):
            if not create:
                raise StateError(
                    "the state is not complete: its creation was interrupted",
                    hint="`sslctl init` completes it; it holds no domains yet",
                )
            with self._database.transaction() as run:
                self._database.serialise(Serial.CREATION)
                if run(SELECT_KEY_CHECK).fetchone() is None:
                    if not self._keyring.exists:
                        self._keyring.make()
                    token = self._keyring.encrypt("sslctl")
                    run("INSERT INTO key_check (only_row, sealed) VALUES (1, ?)", (token,))
        elif self._keyring.exists:
            self._keyring.load()
            self.require_key()
        if self._keyring.exists:
            self._require_chain()

    def transaction(self) -> AbstractContextManager[object]:
        return self._database.transaction()
