"""Connections to the PostgreSQL server that end soon after it has become unreachable, however that came about."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg.waiting import Ready

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


def connect(url: str, *, patience_seconds: float = 30) -> psycopg.Connection:
    """Return a new connection in which each statement is a transaction, unless it is in one.

    Raise `ConfigError` if libpq cannot read the URL, `psycopg.Error` if there is no connection.

    The URL may set other limits than ours. A statement may take any time; while it takes longer than `patience_seconds`, the server must
    take new connections.
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

    def make() -> _Connection:
        return _Connection.connect(
            url, autocommit=True, prepare_threshold=None, fallback_application_name="sslctl", **limits
        )

    connection = make()
    connection.patience_seconds, connection.make_another = patience_seconds, make
    return connection


class _Connection(psycopg.Connection[Any]):
    """A connection that ends if its server owes an answer for a while, and takes no new connection either.

    The limits of the kernel do not notice a proxy or pooler that keeps a connection open and passes nothing on. And a slow statement is no sign:
    it may wait for another transaction.
    """

    patience_seconds: float
    make_another: Callable[[], psycopg.Connection]

    def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:
        """Run `gen`, the steps of a statement, as psycopg does. Raise `psycopg.OperationalError` if the server is gone."""
        return super().wait(self._watched(gen), *args, **kwargs)

    def _watched(self, steps: PQGen[T]) -> PQGen[T]:
        # psycopg resumes the steps ten times a second, also if nothing came.
        silent_since = time.monotonic()
        try:
            wanted = next(steps)
            while True:
                ready = yield wanted
                if ready == Ready.NONE and time.monotonic() - silent_since > self.patience_seconds:
                    self._require_server()
                    silent_since = time.monotonic()
                wanted = steps.send(ready)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    def _require_server(self) -> None:
        try:
            self.make_another().close()
        except psycopg.OperationalError as error:
            # That is the word of a server or pooler that refuses: it has too many connections, say.
            if "FATAL" not in str(error):
                # What it owes may never come.
                self.pgconn.finish()
                raise
