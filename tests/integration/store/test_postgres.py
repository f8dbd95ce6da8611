"""What of the PostgreSQL store no other store has: its schema, its roles, and a server that comes and goes."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from sslctl.errors import BadInput, Busy, ClaimLost, StateBusy, StateError
from sslctl.fleet.history_pruning import Pruning
from sslctl.rules.model import Life, Milestone, Source
from sslctl.store.keyring import Keyring
from sslctl.store.postgres import schema, tables
from sslctl.store.postgres.connecting import connect
from sslctl.store.postgres.database import Database
from sslctl.store.postgres.dialect import with_parameters
from sslctl.store.postgres.leases import Leases
from sslctl.store.postgres.pool import Pool
from sslctl.store.postgres.store import PostgresStore
from sslctl.store.sql.connection import Serial
from sslctl.store.sqlite import migrations
from sslctl.system import process_lock
from tests.support.fakes import Clock
from tests.support.postgres import Cluster, cluster
from tests.support.postgres_backend import PostgresBackend, new_state
from tests.support.postgres_proxy import PostgresProxy
from tests.support.store_cases import NAME, PATIENCE, held, issue

pytestmark = pytest.mark.postgres

_COLUMNS = """SELECT table_name, column_name, is_nullable = 'NO', collation_name
    FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT IN ('process', 'schema_version')"""
_GRANTS = """
CREATE ROLE {role} LOGIN;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role};
"""


@pytest.fixture
def state(tmp_path: Path) -> Iterator[PostgresBackend]:
    """An empty state."""
    made = new_state(tmp_path)
    yield made
    made.discard()


def opened(
    state: PostgresBackend, url: str = "", *, lock_seconds: float = 600, key_file: Path | None = None
) -> PostgresStore:
    """Open the state as a command does that is not `init`."""
    return PostgresStore(
        url or state.url,
        Keyring(key_file or state.key_file),
        clock=Clock(),
        actor="tester (test)",
        lock_folder=state.folder / "processes",
        lock_seconds=lock_seconds,
    )


def sqlite_columns(version: int) -> set[tuple[str, str, bool]]:
    """Return table, column and whether it may not be NULL, of the SQLite schema `version`."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrations.add_functions(connection)
        for number in range(version):
            migrations.apply(connection, number)
        sql = """SELECT t.name, c.name, c."notnull" OR c.pk FROM sqlite_schema AS t, pragma_table_info(t.name) AS c
            WHERE t.type = 'table'"""
        return {(table, column, bool(filled)) for table, column, filled in connection.execute(sql)}


def test_schema_has_the_tables_and_columns_of_the_sqlite_schema_with_its_number(
    state: PostgresBackend,
) -> None:
    assert len(migrations.MIGRATIONS) == schema.CURRENT
    with cluster().connection(state.name) as connection:
        found = connection.execute(_COLUMNS).fetchall()
        texts = {row[3] for row in connection.execute(f"{_COLUMNS} AND data_type = 'text'".encode())}
    assert {(table, column, filled) for table, column, filled, _ in found} == sqlite_columns(schema.CURRENT)
    assert texts == {"C"}


def test_role_without_rights_on_the_schema_is_enough(state: PostgresBackend) -> None:
    state.open().close()
    role = f"role_of_{state.name}"
    with cluster().connection(state.name) as connection:
        connection.execute(_GRANTS.format(role=role).encode())
    store = opened(state, cluster().url(state.name, role))
    domain = issue(store, store.add_domain(NAME, (), Source.C4))
    assert store.domain(NAME) == domain
    store.close()


def test_role_without_rights_on_a_table_is_refused_with_the_next_step(state: PostgresBackend) -> None:
    state.open().close()
    role = f"role_of_{state.name}"
    with cluster().connection(state.name) as connection:
        connection.execute(_GRANTS.format(role=role).encode())
        connection.execute(f"REVOKE INSERT ON domain FROM {role}".encode())
    store = opened(state, cluster().url(state.name, role))
    with pytest.raises(StateError, match="permission denied for table domain") as caught:
        store.add_domain(NAME, (), Source.C4)
    assert "docs/postgres.md" in str(caught.value.hint)
    store.close()


def test_tables_in_another_schema_are_not_made_again(state: PostgresBackend) -> None:
    state.open().close()
    elsewhere = replace(state, url=f"{state.url}&options=-csearch_path%3Dother")
    with connect(state.url) as connection:
        connection.execute("CREATE SCHEMA other")
    with pytest.raises(
        StateError, match="the schema public of the database has the tables of sslctl"
    ) as refused:
        elsewhere.open()
    assert "search_path" in (refused.value.hint or "")


def test_state_that_was_not_made_is_refused(state: PostgresBackend) -> None:
    with pytest.raises(StateError, match="its creation was interrupted") as caught:
        opened(state)
    assert "sslctl init" in str(caught.value.hint)
    with pytest.raises(StateError, match="there is no state in the database") as caught:
        opened(state, cluster().url("postgres"))
    assert "sslctl init" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("version", "step"), [(tables.FIRST - 1, "sslctl init"), (schema.CURRENT + 1, "update sslctl")]
)
def test_schema_of_another_version_is_refused_with_the_next_step(
    state: PostgresBackend, version: int, step: str
) -> None:
    state.open().close()
    with state.sql() as sql:
        sql("UPDATE schema_version SET version = ?", (version,))
    with pytest.raises(StateError, match=f"its schema is {version}") as caught:
        opened(state)
    assert step in str(caught.value.hint)


def test_connections_that_the_server_closed_are_replaced(state: PostgresBackend) -> None:
    store = state.open()
    store.add_domain(NAME, (), Source.C4)
    end = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ? AND pid <> pg_backend_pid()"
    )
    steps: list[Callable[[], object]] = [
        lambda: store.domain(NAME),
        lambda: store.add_domain("b.test", (), Source.C4),
    ]
    for work in steps:
        with cluster().connection("postgres") as connection:
            assert connection.execute(with_parameters(end), (state.name,)).fetchall()
        work()
    store.close()


def test_connection_that_ends_inside_a_transaction_fails_and_records_nothing(state: PostgresBackend) -> None:
    store = state.open()
    end = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ? AND pid <> pg_backend_pid()"
    )

    def fail() -> None:
        with store.transaction():
            store.add_domain(NAME, (), Source.C4)
            with cluster().connection("postgres") as connection:
                connection.execute(with_parameters(end), (state.name,))

    with pytest.raises(StateError, match="cannot use the PostgreSQL database"):
        fail()
    assert store.find(NAME) is None
    store.close()


def test_change_that_waits_too_long_for_another_connection_is_busy(state: PostgresBackend) -> None:
    store = state.open()
    domain = store.add_domain(NAME, (), Source.C4)
    patient = opened(state, lock_seconds=0.1)
    with state.sql() as sql:
        sql("UPDATE domain SET customer = 'x'", ())
        with pytest.raises(StateBusy):
            patient.delete_domain(domain)
    assert store.domain(NAME).revision == domain.revision
    patient.delete_domain(domain)
    patient.close()
    store.close()


def test_server_that_is_not_there_is_an_error_with_the_next_step(
    state: PostgresBackend, tmp_path: Path
) -> None:
    with pytest.raises(StateError, match="cannot use the PostgreSQL database") as caught:
        opened(state, f"postgresql:///x?host={tmp_path}")
    assert "state.url" in str(caught.value.hint)


def test_backup_is_left_to_pg_dump(state: PostgresBackend, tmp_path: Path) -> None:
    store = state.open()
    with pytest.raises(BadInput) as caught:
        store.back_up(tmp_path / "copy")
    assert "pg_dump" in str(caught.value.hint)
    store.close()


def test_search_for_damage_finds_a_certificate_that_was_changed(state: PostgresBackend) -> None:
    store = state.open()
    domain = issue(store, store.add_domain(NAME, (), Source.C4))
    store.continue_check(1)
    store.check_domains([NAME])
    assert Milestone.CHECKED in store.milestones()
    with state.sql() as sql:
        sql("UPDATE certificate SET pem = 'other' WHERE id = ?", (held(domain).id,))
    searches: list[Callable[[], object]] = [
        lambda: store.continue_check(1),
        lambda: store.check_domains([NAME]),
    ]
    for search in searches:
        with pytest.raises(StateError, match="is not as it was stored"):
            search()
    store.close()


# Several machines


def of_another_machine(state: PostgresBackend) -> PostgresStore:
    """Open the state as a machine does that does not see the lock files of this one."""
    folder = state.folder / "other"
    folder.mkdir()
    return opened(replace(state, folder=folder), key_file=state.key_file)


def test_claim_of_another_machine_lasts_until_its_process_ends(state: PostgresBackend) -> None:
    ours, other = state.open(), of_another_machine(state)
    assert other.claim(["a"], timedelta(0)) == {"a"}
    assert ours.claim(["a"], timedelta(hours=1)) == set()
    assert [claim.life for claim in ours.claims()] == [Life.ALIVE]
    other.close()
    assert ours.claim(["a"], timedelta(hours=1)) == {"a"}
    ours.close()


def test_claim_of_a_machine_that_was_not_seen_for_a_minute_is_lost(state: PostgresBackend) -> None:
    ours, other = state.open(), of_another_machine(state)
    other.claim(["a"], timedelta(hours=1))
    with state.sql() as sql:
        sql("UPDATE process SET seen_at = clock_timestamp() - interval '61 seconds'", ())
    assert ours.claim(["a"], timedelta(hours=1)) == {"a"}
    with pytest.raises(ClaimLost):
        other.require_claims(["a"])
    other.close()
    ours.close()


def test_heartbeat_renews_the_lease_and_its_absence_is_noticed(
    state: PostgresBackend, tmp_path: Path
) -> None:
    store = state.open()
    database = Database(state.url)

    def leases(name: str, **seconds: float) -> Leases:
        (tmp_path / name).mkdir()
        return Leases(tmp_path / name, database, state.url, **seconds)

    beating, silent = leases("a", beat_seconds=0.02), leases("b", lease_seconds=0.4, beat_seconds=1000)
    identity, other = beating.begin(), silent.begin()
    assert silent.is_fresh(silent.proven_at())
    with state.sql() as sql:
        sql("UPDATE process SET seen_at = clock_timestamp() - interval '1 day'", ())
    deadline = time.monotonic() + PATIENCE
    while not silent.is_alive(identity):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not beating.is_alive(other)
    time.sleep(0.2)
    assert [each.is_fresh(each.proven_at()) for each in (beating, silent)] == [True, False]
    for each in (beating, silent):
        each.end()
    assert not silent.is_alive(identity)
    database.close()
    store.close()


def test_process_that_ends_without_the_server_leaves_its_file_as_proof(
    state: PostgresBackend, tmp_path: Path
) -> None:
    state.open().close()
    database, folder = Database(state.url), tmp_path / "processes"
    leases = Leases(folder, database, state.url)
    identity = leases.begin()
    state.discard()
    leases.end()
    assert process_lock.is_known(folder, identity)
    assert not process_lock.is_alive(folder, identity)
    database.close()


def store_at(state: PostgresBackend, minutes: int) -> PostgresStore:
    """Return a store on a machine whose clock is so far ahead."""
    return PostgresStore(
        state.url,
        Keyring(state.key_file),
        clock=Clock(),
        actor="tester (test)",
        lock_folder=state.folder / "processes",
        wall_clock=lambda: datetime.now(UTC) + timedelta(minutes=minutes),
    )


@pytest.mark.parametrize("minutes", [-61, 61])
def test_tick_on_a_machine_with_a_wrong_clock_is_refused(state: PostgresBackend, minutes: int) -> None:
    state.open().close()
    bearable = minutes - 2 * (minutes // abs(minutes))
    with closing(store_at(state, bearable)) as right, closing(store_at(state, minutes)) as wrong:
        assert round(right.require_right_clock() / timedelta(minutes=1)) == bearable
        with pytest.raises(Busy, match=r"61 minutes (ahead of|behind) that of the database"):
            wrong.require_right_clock()


def test_pruning_on_a_machine_with_a_wrong_clock_is_refused(state: PostgresBackend, tmp_path: Path) -> None:
    state.open().close()
    with closing(store_at(state, 61)) as wrong, pytest.raises(Busy, match="ahead of that of the database"):
        list(Pruning(wrong, tmp_path / "archive", Clock()(), clock=Clock()))
    assert not (tmp_path / "archive").exists()


def test_connection_is_given_up_soon_unless_the_url_says_otherwise(state: PostgresBackend) -> None:
    limits = (
        "connect_timeout",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_count",
        "tcp_user_timeout",
    )

    def limits_of(url: str) -> list[str | None]:
        with connect(url) as connection:
            found = connection.info.get_parameters()
        return [found.get(name) for name in limits]

    assert limits_of(state.url) == ["10", "10", "5", "3", "25000"]
    assert limits_of(f"{state.url}&tcp_user_timeout=60000") == ["10", "10", "5", "3", "60000"]


def test_interrupt_that_breaks_an_idle_connection_ends_the_work(state: PostgresBackend) -> None:
    pool = Pool(lambda: connect(state.url), 1)
    pool.run(lambda connection: connection.execute("SELECT 1"))

    begun = list[None]()

    def interrupted(connection: psycopg.Connection) -> None:
        begun.append(None)
        connection.pgconn.finish()
        if len(begun) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pool.run(interrupted)
    pool.close()


def test_connection_ends_when_its_server_is_silent_and_takes_no_new_one(state: PostgresBackend) -> None:
    with PostgresProxy(cluster()) as proxy:
        url = f"{proxy.url(state.name)}&connect_timeout=2"
        connection = connect(url, patience_seconds=0.2)
        # It takes its time, as does one that waits for another transaction.
        assert connection.execute("SELECT 1 FROM pg_sleep(0.8)").fetchone() == (1,)
        proxy.stall()
        with pytest.raises(psycopg.OperationalError, match="timeout expired"):
            connection.execute("SELECT 1")
        assert connection.broken


def test_connection_waits_for_a_server_that_refuses_new_ones() -> None:
    few = ("max_connections=5", "superuser_reserved_connections=0", "max_wal_senders=0")
    with closing(Cluster(more=few)) as server, ExitStack() as taken:
        waiting = connect(server.url("postgres"), patience_seconds=0.2)
        with suppress(psycopg.OperationalError):
            while True:
                taken.enter_context(connect(server.url("postgres")))
        assert waiting.execute("SELECT 1 FROM pg_sleep(0.8)").fetchone() == (1,)
        waiting.close()


@pytest.mark.parametrize(("seconds", "tries"), [(1.2, 8), (0, 41)], ids=["silent", "refuses"])
def test_silent_server_is_not_tried_again_for_each_thread_nor_soon_after(seconds: float, tries: int) -> None:
    tried = list[None]()

    def connect_in_vain() -> psycopg.Connection:
        tried.append(None)
        time.sleep(seconds)
        raise psycopg.OperationalError("gone")

    pool, errors = Pool(connect_in_vain, 8), list[str]()

    def use() -> None:
        try:
            pool.run(lambda _: None)
        except psycopg.OperationalError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=use) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    use()
    assert (len(tried), errors) == (tries, ["gone"] * 41)


def test_transaction_of_a_frozen_process_does_not_keep_others_waiting(state: PostgresBackend) -> None:
    state.open().close()
    frozen, other = Database(state.url, idle_seconds=0.2), Database(state.url)

    def freeze() -> None:
        with frozen.transaction():
            frozen.serialise(Serial.CLAIMS)
            with other.transaction():
                other.serialise(Serial.CLAIMS)

    with pytest.raises(StateError):
        freeze()
    for each in (frozen, other):
        each.close()


def test_parameters_are_respelled_outside_of_texts_only() -> None:
    sql = "SELECT ':a ? %' || :b_2 FROM x WHERE y LIKE '%z%' AND i = ? AND (? ::text)::json = '?'"
    assert with_parameters(sql).decode() == (
        "SELECT ':a ? %%' || %(b_2)s FROM x WHERE y LIKE '%%z%%' AND i = %s AND (%s ::text)::json = '?'"
    )
