"""The PostgreSQL database of a state: its transactions, and what of them happens one at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg

from sslctl.errors import StateError
from sslctl.store.postgres import schema
from sslctl.store.postgres.connecting import connect
from sslctl.store.postgres.dialect import PostgresDialect, with_parameters
from sslctl.store.postgres.errors import translating
from sslctl.store.postgres.pool import Pool
from sslctl.store.postgres.rows import make_rows
from sslctl.store.sql.connection import Cursor, Run, Serial, T, Values

# Advisory locks have two numbers; the first one is ours ("sslc").
_LOCK = b"SELECT pg_advisory_xact_lock(1936944227, %s)"
_SHARE = b"SELECT pg_advisory_xact_lock_shared(1936944227, %s)"


@dataclass
class _Transaction:
    """An open transaction of one thread in the database of `url`. `last` runs right before its commit."""

    connection: psycopg.Connection
    url: str
    last: list[Callable[[Run], object]] = field(default_factory=list)

    def run(self, sql: str, values: Values = ()) -> Cursor:
        cursor = self.connection.cursor(row_factory=make_rows)
        with translating(self.url):
            return cursor.execute(with_parameters(sql), values)


class Database:
    """The database that `url` names, used by all threads of a process with at most `max_connections`.

    `lock_seconds` is how long a change waits for others, `idle_seconds` how long others wait for one whose process is frozen
    or was cut off: the server ends it then.

    With `create`, its schema is made or brought up to date; otherwise it must be current.

    Transactions run at READ COMMITTED, several at a time. A change compares and sets, so that of two the later one finds
    nothing to change. What has to be counted first is done by one transaction at a time (`serialise`). The history is a chain,
    so events are appended last (`at_commit`), under a lock that is held only for the commit: taken earlier, one thread could
    hold it and wait for a row of another one that waits for it.
    """

    def __init__(
        self,
        url: str,
        *,
        create: bool = False,
        lock_seconds: float = 600,
        idle_seconds: float = 30,
        max_connections: int = 8,
    ) -> None:
        self.dialect = PostgresDialect()
        self._url = url
        limits = {"lock_timeout": lock_seconds, "idle_in_transaction_session_timeout": idle_seconds}
        settings = [f"SET LOCAL {name} = {round(seconds * 1000)}" for name, seconds in limits.items()]
        self._begin = "; ".join(["BEGIN", *settings]).encode()
        self._pool = Pool(lambda: connect(url), max_connections)
        self._mine = threading.local()
        try:
            with self.translating():
                if create:
                    self._pool.run(schema.migrate)
                self._pool.run(schema.require_current)
        except BaseException:
            self._pool.close()
            raise

    def read(self, make: Callable[[Any], T], sql: str, values: Values = ()) -> list[T]:
        """Return the result of `make` for each row of a query. Raise `StateError` if it cannot read a row."""
        transaction = self._open
        if transaction is not None:
            found = transaction.run(sql, values).fetchall()
        else:
            with self.translating():
                found = self._pool.run(
                    lambda connection: _Transaction(connection, self._url).run(sql, values).fetchall()
                )
        try:
            return [make(row) for row in found]
        except (LookupError, TypeError, ValueError) as error:
            raise StateError(
                f"the database cannot be read: {error}", hint="it was not changed; restore a backup of it"
            ) from error

    @contextmanager
    def transaction(self) -> Iterator[Run]:
        """Run the block in one transaction, committed at its end. A nested block is part of the outer transaction."""
        outer = self._open
        if outer is not None:
            yield outer.run
            return
        with self.translating(), self._pool.connection(self._begin_on) as (connection, _):
            transaction = self._mine.transaction = _Transaction(connection, self._url)
            try:
                yield transaction.run
                self._commit(transaction)
            except BaseException:
                if not connection.closed:
                    connection.rollback()
                raise
            finally:
                self._mine.transaction = None

    def _begin_on(self, connection: psycopg.Connection) -> None:
        connection.execute(self._begin)

    def _commit(self, transaction: _Transaction) -> None:
        if transaction.last:
            self.serialise(Serial.HISTORY)
        for work in transaction.last:
            work(transaction.run)
        # While this transaction waited for a table, the state may have been moved.
        schema.require_here(transaction.connection)
        transaction.connection.commit()

    def serialise(self, what: Serial) -> None:
        """Wait until no other transaction does `what`; none does until this one ends."""
        self._lock(_LOCK, what)

    def share(self, what: Serial) -> None:
        """Keep transactions that `serialise` `what` waiting until this one ends."""
        self._lock(_SHARE, what)

    def _lock(self, sql: bytes, what: Serial) -> None:
        transaction = self._require_open()
        with self.translating():
            transaction.connection.execute(sql, (what,))

    def at_commit(self, work: Callable[[Run], object]) -> None:
        """Run `work` as the last part of the open transaction."""
        self._require_open().last.append(work)

    @property
    def _open(self) -> _Transaction | None:
        """The open transaction of this thread."""
        return getattr(self._mine, "transaction", None)

    def _require_open(self) -> _Transaction:
        transaction = self._open
        assert transaction is not None, "there is no transaction"  # noqa: S101 - a bug
        return transaction

    def is_private(self) -> bool:
        """Return whether the connection to the server is encrypted, or a socket of this machine."""
        with self.translating():
            return self._pool.run(
                lambda connection: connection.pgconn.ssl_in_use or connection.info.host.startswith("/")
            )

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def translating(self) -> AbstractContextManager[None]:
        """Run the block, and raise its errors of psycopg as ours."""
        return translating(self._url)
