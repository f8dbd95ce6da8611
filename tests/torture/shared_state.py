"""States in PostgreSQL that two hosts share: each has its own folder, and all have one database, key file and configuration."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from sslctl.app import utc_now
from sslctl.sandbox.cdn import SandboxCdn
from sslctl.sandbox.pebble import Pebble
from sslctl.store.interface import Store
from sslctl.store.keyring import Keyring
from sslctl.store.postgres.store import PostgresStore
from sslctl.system import process_lock
from tests.support.postgres import Cluster
from tests.torture import invariants
from tests.torture.acme_proxy import AcmeProxy
from tests.torture.environment import Environment, State


class SharedEnvironment(Environment):
    """An environment whose states are in the PostgreSQL server `server`."""

    def __init__(self, folder: Path, server: Cluster, *, validation_seconds: int = 0) -> None:
        super().__init__(folder, validation_seconds=validation_seconds)
        self._server = server
        self._database = ""

    def state(self) -> SharedState:
        """See `Environment.state`. The database of the last state is removed."""
        if self._database:
            self._server.drop(self._database)
        self._database = self._server.new_database()
        return SharedState(self._world, self._next_folder(), self._world.pebble, self._server, self._database)


class SharedState(State):
    """A state in `database` of `server`, and two hosts, `a` and `b`. Commands are started on `a` first."""

    def __init__(
        self, world: SandboxCdn, folder: Path, first_ca: Pebble | AcmeProxy, server: Cluster, database: str
    ) -> None:
        super().__init__(world, folder, first_ca)
        self.server = server
        self._database = database
        self.settings["SSLCTL_STATE_URL"] = server.url(database)
        # A host leaves some domains to the other one.
        self.settings["SSLCTL_ACME_WORKERS"] = "8"
        self.places = [folder / "a", folder / "b"]
        self.place = self.places[0]
        for place in self.places:
            place.mkdir(mode=0o700, parents=True)
        self.open().close()
        for place in self.places[1:]:
            shutil.copy(self.places[0] / "master.key", place / "master.key")

    def open(self) -> Store:
        """See `State.open`."""
        return PostgresStore(
            self.server.url(self._database),
            Keyring(self.places[0] / "master.key"),
            clock=utc_now,
            actor="torture",
            lock_folder=self.places[0] / "processes",
            create=True,
        )

    def change_host(self) -> None:
        """Start the next commands on the other host."""
        self.place = self.places[self.place == self.places[0]]

    def end_leases(self) -> None:
        """Let a minute pass, as it seems, since the last heartbeat of every process that has ended."""
        ended = [
            identity
            for (identity,) in self.rows("SELECT id FROM process")
            if not any(process_lock.is_alive(place / "processes", identity) for place in self.places)
        ]
        with self.server.connection(self._database) as connection:
            connection.execute(
                "UPDATE process SET seen_at = seen_at - interval '61 seconds' WHERE id = ANY(%s)", (ended,)
            )

    def violations(
        self, *, acknowledged: Iterable[str] = (), healthy: Iterable[str] | None = None
    ) -> list[str]:
        """See `State.violations`. The server keeps references and pages whole, and a domain from having two open orders."""
        found = [each for place in self.places for each in invariants.readable(place)]
        with closing(self.open()) as store:
            found += invariants.of_store(
                store, self._outside, utc_now(), healthy=healthy, acknowledged=acknowledged
            )
            broken = store.verify_history().broken
        if broken:
            found.append(f"I3: the history is not whole: {broken}")
        return [*found, *invariants.superfluous(self._outside, lambda name: self.most_orders[name])]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """See `State.rows`."""
        with self.server.connection(self._database) as connection:
            return connection.execute(sql.encode()).fetchall()
