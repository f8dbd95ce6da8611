"""The connections of this process to the PostgreSQL server, shared by its threads."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import psycopg

T = TypeVar("T")

# A process has several things to tell the database before it ends. If each of them waited as long as a connection may, it would end
# minutes after it was cut off.
_LONG_SECONDS = 1
_SILENT_SECONDS = 5


class Pool:
    """At most `most` connections, made by `make` when they are needed and kept until `close`. Threads wait for one."""

    def __init__(self, make: Callable[[], psycopg.Connection], most: int) -> None:
        self._make = make
        self._idle: list[psycopg.Connection] = []
        self._free = threading.Semaphore(most)
        self._is_closed = False
        # When, and with what error, a connection came to nothing after a while.
        self._silence: tuple[float, str] | None = None
        # Of a pool that nobody closed.
        weakref.finalize(self, _close_all, self._idle).atexit = False

    def run(self, work: Callable[[psycopg.Connection], T]) -> T:
        """Return the result of `work` on a connection. It may run twice; see `connection`. Raise `psycopg.Error`."""
        with self.connection(work) as (_, result):
            return result

    @contextmanager
    def connection(self, begin: Callable[[psycopg.Connection], T]) -> Iterator[tuple[psycopg.Connection, T]]:
        """Yield a connection on which `begin` ran, and its result. Raise `psycopg.Error`.

        The server may have closed idle connections, or have been started again: then all of them are forgotten, and
        `begin` runs once more, on a new one. If it does not answer, whoever waits for a connection then, or wants one soon after, is told so at once.
        """
        asked_at = time.monotonic()
        with self._free:
            if self._silence is not None and self._silence[0] + _SILENT_SECONDS > asked_at:
                raise psycopg.OperationalError(self._silence[1])
            connection, result = self._began(begin)
            try:
                yield connection, result
            finally:
                self._take_back(connection)

    def _began(self, begin: Callable[[psycopg.Connection], T]) -> tuple[psycopg.Connection, T]:
        while True:
            connection, is_new = self._take()
            try:
                result = begin(connection)
            except BaseException as error:
                is_broken = connection.broken
                connection.close()
                # Ctrl-C may break a connection, too.
                if is_new or not is_broken or not isinstance(error, Exception):
                    raise
                _close_all(self._idle)
            else:
                return connection, result

    def _take(self) -> tuple[psycopg.Connection, bool]:
        """Return a connection, and whether it is new."""
        try:
            return self._idle.pop(), False
        except IndexError:
            return self._connect(), True

    def _connect(self) -> psycopg.Connection:
        began = time.monotonic()
        try:
            return self._make()
        except psycopg.OperationalError as error:
            # A server that is started again refuses connections at once, and for a moment only.
            if time.monotonic() - began > _LONG_SECONDS:
                self._silence = time.monotonic(), str(error)
            raise

    def _take_back(self, connection: psycopg.Connection) -> None:
        # Anything but an idle connection was interrupted: the server rolls back when it is closed.
        is_idle = connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
        if is_idle and not self._is_closed:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close the connections; one in use, when it is given back."""
        self._is_closed = True
        _close_all(self._idle)


def _close_all(connections: list[psycopg.Connection]) -> None:
    # Other threads take connections meanwhile.
    with suppress(IndexError):
        while True:
            connections.pop().close()
