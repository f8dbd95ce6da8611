"""States with years of history, one in SQLite and one in PostgreSQL, built with the same rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from sslctl.store.keyring import Keyring
from sslctl.store.postgres.moving import ServerSide
from sslctl.store.sql.moving import Side
from sslctl.store.sqlite.moving import FileSide, find_tables
from tests.bench.aged_state import Builder, History, without_indexes
from tests.bench.meter import Job
from tests.bench.program import Sslctl, unserved
from tests.support.postgres import Cluster
from tests.support.postgres_programs import find_server

_TABLES = "('domain', 'certificate', 'acme_order', 'acme_order_name', 'event')"
_OF_SQLITE = f"""SELECT type, name, sql FROM sqlite_schema
    WHERE type IN ('index', 'trigger') AND sql IS NOT NULL AND tbl_name IN {_TABLES}"""  # noqa: S608 - constants
_OF_POSTGRES = f"""SELECT 'index', indexname, indexdef FROM pg_indexes WHERE tablename IN {_TABLES}
    AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexname::regclass)"""  # noqa: S608 - constants
_FAST_SQLITE = ("synchronous = OFF", "cache_size = -1000000")
# As Debian configures it, except for what only makes the filling faster.
_SETTINGS = ("listen_addresses=", "wal_level=minimal", "max_wal_senders=0", "max_wal_size=4GB")
_FAST_POSTGRES = (
    # Without triggers and references.
    "session_replication_role = replica",
    "maintenance_work_mem = '1GB'",
)
_EMPTY = "TRUNCATE domain, certificate, acme_order, acme_order_name, event CASCADE"


@dataclass(frozen=True, slots=True)
class Aged:
    """sslctl over a state with `versions` certificates and `events` events, whose database has `size` bytes.

    `backup` returns the job that writes a backup into a new file.
    """

    sslctl: Sslctl
    versions: int
    events: int
    size: int
    backup: Callable[[Path], Job]


@contextmanager
def in_sqlite(own: Path, history: History) -> Iterator[Aged]:
    """Yield a state in SQLite in the folder `own`, which is empty."""
    sslctl = unserved(own)
    sslctl.run("init")
    path = sslctl.state / "sslctl.db"
    with closing(FileSide(path)) as side:
        for pragma in _FAST_SQLITE:
            side.run(f"PRAGMA {pragma}")
        with without_indexes(side, _OF_SQLITE):
            built = _fill(side, sslctl, history)
    yield Aged(
        sslctl,
        built.versions,
        built.events,
        path.stat().st_size,
        lambda copy: sslctl.job("backup", str(copy)),
    )


@contextmanager
def in_postgres(own: Path, history: History) -> Iterator[Aged]:
    """Yield a state in a PostgreSQL server of its own, with its other files in the folder `own`, which is empty."""
    with closing(Cluster(_SETTINGS, is_on_disk=True)) as cluster:
        url = cluster.url(cluster.new_database())
        sslctl = unserved(own).with_settings(state_url=url)
        sslctl.run("init")
        with closing(ServerSide(url, "the database", find_tables())) as side:
            for setting in _FAST_POSTGRES:
                side.run(f"SET {setting}")
            with without_indexes(side, _OF_POSTGRES):
                # What goes into a table that was emptied in the same transaction is not written twice.
                built = _fill(side, sslctl, history, _EMPTY)
            side.complete()
            side.run("VACUUM ANALYZE")
            (size,) = side.run("SELECT pg_database_size(current_database())").fetchone()
        yield Aged(sslctl, built.versions, built.events, size, partial(_pg_dump, sslctl, url))


STORES = {"SQLite": in_sqlite, "PostgreSQL": in_postgres}


def _fill(side: Side, sslctl: Sslctl, history: History, *before: str) -> Builder:
    with side.step():
        for statement in before:
            side.run(statement)
        builder = Builder(side, find_tables(), Keyring(sslctl.state / "master.key"), history)
        builder.run()
    return builder


def _pg_dump(sslctl: Sslctl, url: str, copy: Path) -> Job:
    program = find_server()
    assert program is not None
    command = [str(program.with_name("pg_dump")), "--format=custom", f"--file={copy}", url]
    return replace(sslctl.job(), commands=[command])
