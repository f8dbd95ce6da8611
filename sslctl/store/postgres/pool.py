"""The connections of this process to the PostgreSQL server."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict

from sslctl.errors import ConfigError

T = TypeVar("T")

# A network that drops everything is noticed within half a minute: before that, the lease of this process is not over. The kernel
# alone would wait for a quarter of an hour, and for two hours if the server owes an answer.
_LIMITS = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
# A process has several things to tell the database before it ends. If each of them waited as long as a connection may, it would end
# minutes after it was cut off.
_LONG_SECONDS = 1
_SILENT_SECONDS = 5


def connect(url: str) -> psycopg.Connection:
    """Return a new connection in which each statement is a transaction, unless it is in one.

    Raise `ConfigError` if libpq cannot read the URL, `psycopg.Error` if there is no connection.

    It fails soon after the server has become unreachable, however that came about; the URL may set other limits.
    No statement is prepared on the server and no session is configured: behind PgBouncer in transaction mode, consecutive
    transactions of one connection are on different sessions.
    """
    try:
        named = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # Its text quotes a part of the URL, which may be that of a password.
        raise ConfigError(
            "libpq cannot read the URL of the database",
            hint="check state.url, or the content of state.url_file: names and values of parameters as in libpq's manual,"
            " and special characters in percent-encoding",
        ) from None
    limits: dict[str, Any] = {name: value for name, value in _LIMITS.items() if name not in named}
    return psycopg.connect(
        url, autocommit=True, prepare_threshold=None, fallback_application_name="sslctl", **limits
    )


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
            is_new = not self._idle
            connection = self._connect() if is_new else self._idle.pop()
            try:
                result = begin(connection)
            except BaseException:
                is_broken = connection.broken
                connection.close()
                if is_new or not is_broken:
                    raise
                _close_all(self._idle)
            else:
                return connection, result

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
    while connections:
        connections.pop().close()
