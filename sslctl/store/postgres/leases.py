"""Proof that processes live, for processes on several machines: a lease of each, renewed by a heartbeat.

Times are the database's: clocks of machines differ. On one machine the lock files say at once whether a process has ended.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path

import psycopg

from sslctl.store.postgres.connecting import connect
from sslctl.store.postgres.database import Database
from sslctl.store.sql.lives import LockFiles
from sslctl.system import process_lock

_BEGIN = b"""INSERT INTO process (id, seen_at) VALUES (%s, clock_timestamp())
    ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at"""
# It makes no row: one that ends at this moment must not come back.
_BEAT = b"UPDATE process SET seen_at = clock_timestamp() WHERE id = %s"
_END = b"DELETE FROM process WHERE id = ANY(%s)"
_FORGET = b"DELETE FROM process WHERE seen_at < clock_timestamp() - interval '7 days'"
_IS_ALIVE = """SELECT seen_at > clock_timestamp() - make_interval(secs => ?) FROM process WHERE id = ?"""


class Leases(LockFiles):
    """The leases in `database`, which `url` names, beside the lock files in `folder`.

    A process counts as alive for `lease_seconds` after its last heartbeat, and makes one every `beat_seconds`.
    """

    def __init__(
        self,
        folder: Path,
        database: Database,
        url: str,
        *,
        lease_seconds: float = 60,
        beat_seconds: float = 10,
    ) -> None:
        super().__init__(folder)
        self._database = database
        self._url = url
        self._lease_seconds = lease_seconds
        self._beat_seconds = beat_seconds
        self._ended = threading.Event()
        self._identity = ""
        self._seen_at = 0.0

    def begin(self) -> str:
        self._end_dead()
        self._identity = super().begin()
        try:
            with self._database.translating():
                self._beat(_BEGIN)
        except BaseException:
            super().end()
            raise
        threading.Thread(target=self._go_on, daemon=True, name="heartbeat").start()
        return self._identity

    def end(self) -> None:
        self._ended.set()
        super().end()
        # Another handle of this process may need the lease.
        if not (process_lock.is_alive(self._folder, self._identity) or self._is_told()):
            # The server is gone. Other machines see the lease end by itself, and this one by the file.
            process_lock.leave_file(self._folder, self._identity)

    def _is_told(self) -> bool:
        """End the lease, and return whether the server has been told; one that did not answer lately is not asked."""
        if not self.is_fresh(self._seen_at):
            return False
        try:
            self._end_leases([self._identity])
        except psycopg.Error:
            return False
        return True

    def _end_dead(self) -> None:
        """End the leases of processes of this machine that ended without that, before their files are removed."""
        dead = list[str]()
        with suppress(OSError):
            dead = process_lock.find_dead(self._folder)
        if dead:
            with self._database.translating():
                self._end_leases(dead)

    def _end_leases(self, identities: list[str]) -> None:
        with connect(self._url) as connection:
            connection.execute(_END, (identities,))

    def is_alive(self, identity: str) -> bool | None:
        if process_lock.is_known(self._folder, identity):
            return super().is_alive(identity)
        found = self._database.read(lambda row: bool(row[0]), _IS_ALIVE, (self._lease_seconds, identity))
        return found == [True]

    def proven_at(self) -> float | None:
        return self._seen_at

    def is_fresh(self, proof: float | None) -> bool:
        # With half of the lease left, the request that follows ends before another machine takes the claim over.
        return proof is not None and _now() - proof < self._lease_seconds / 2

    def _go_on(self) -> None:
        while not self._ended.wait(self._beat_seconds):
            try:
                self._beat(_BEAT)
            except psycopg.Error:
                # The server may come back before the lease ends. Whoever needs the claim asks `is_fresh`.
                continue

    def _beat(self, statement: bytes) -> None:
        """Renew the lease, on a connection of its own: those of the pool may all wait for a lock."""
        began = _now()
        with connect(self._url) as connection:
            if connection.execute(statement, (self._identity,)).rowcount:
                self._seen_at = began
            connection.execute(_FORGET)


def _now() -> float:
    """Return the seconds since the machine started, with those that it slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
