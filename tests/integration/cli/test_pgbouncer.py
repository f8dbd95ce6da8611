"""The commands with PgBouncer in transaction mode before PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from sslctl.errors import Exit
from sslctl.rules.model import Source
from sslctl.store.keyring import Keyring
from sslctl.store.postgres.store import PostgresStore
from tests.support.cdn import Cdn
from tests.support.fakes import Clock
from tests.support.moving_cases import make_state
from tests.support.pgbouncer import bouncing
from tests.support.postgres import cluster
from tests.support.store_cases import issue, serve

pytestmark = [pytest.mark.postgres, pytest.mark.pgbouncer]


@pytest.fixture
def url() -> Iterator[str]:
    """The way to an empty database."""
    name = cluster().new_database("template0")
    with bouncing(name) as way:
        yield way
    cluster().drop(name)


def test_domains_are_added_renewed_and_deleted_through_pgbouncer(
    tmp_path: Path, clock: Clock, url: str
) -> None:
    names = [f"{number}.example.com" for number in range(6)]
    with Cdn(tmp_path, clock, has_state=False, state_url=url) as cdn:
        assert cdn.sslctl("init").exit_code == Exit.OK
        for name in names:
            cdn.add_domain(name)
        assert cdn.sslctl("add", *names).exit_code == Exit.OK
        clock.move(days=85)
        assert cdn.sslctl("daemon-tick").exit_code == Exit.OK
        listed = cdn.sslctl("list", "--json").json["domains"]
        assert [each["status"] for each in listed] == ["Success"] * len(names)
        assert cdn.sslctl("delete", names[0], "--yes").exit_code == Exit.OK
        assert cdn.sslctl("audit", "verify").exit_code == Exit.OK
        checks = {each["check"]: each["grade"] for each in cdn.sslctl("doctor", "--json").json["checks"]}
        assert checks["database"] == "ok"


def test_state_moves_through_pgbouncer_and_back(tmp_path: Path, clock: Clock, url: str) -> None:
    make_state(tmp_path / "state")
    with Cdn(tmp_path, clock, has_state=False) as cdn:
        assert cdn.sslctl("state", "migrate", "--to", url).exit_code == Exit.OK
        text = cdn.config_path.read_text()
        cdn.config_path.write_text(text.replace('url = ""', f'url = "{url}"'))
        assert cdn.sslctl("audit", "verify").exit_code == Exit.OK
        assert cdn.sslctl("state", "migrate", "--to", str(tmp_path / "new")).exit_code == Exit.OK


@pytest.mark.parametrize("sessions", [1, 2])
def test_process_with_more_threads_than_the_pool_has_sessions_waits_and_does_not_hang(
    tmp_path: Path, clock: Clock, sessions: int
) -> None:
    """No thread holds a session while it waits for another one, such as for its heartbeat."""
    database = cluster().new_database("template0")
    names = [f"{number}.example.com" for number in range(12)]
    with (
        bouncing(database, sessions) as way,
        Cdn(tmp_path, clock, has_state=False, state_url=way) as cdn,
    ):
        assert cdn.sslctl("init").exit_code == Exit.OK
        for name in names:
            cdn.add_domain(name)
        began = time.monotonic()
        assert cdn.sslctl("add", *names).exit_code == Exit.OK
        clock.move(days=85)
        assert cdn.sslctl("daemon-tick").exit_code == Exit.OK
        # Less than `query_wait_timeout`, after which the command would have failed.
        assert time.monotonic() - began < 20
        listed = cdn.sslctl("list", "--json").json["domains"]
        assert [each["status"] for each in listed] == ["Success"] * len(names)
        assert cdn.sslctl("audit", "verify").exit_code == Exit.OK
    cluster().drop(database)


def test_connections_of_a_process_are_limited_as_configured(tmp_path: Path, url: str) -> None:
    store = PostgresStore(
        url,
        Keyring(tmp_path / "master.key"),
        clock=Clock(),
        actor="tester",
        lock_folder=tmp_path / "processes",
        create=True,
        max_connections=1,
    )
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.add_domain(f"{number}.test", (), Source.C4), range(40)))
        claimed = list(pool.map(lambda number: store.claim([f"domain:{number}"], timedelta(1)), range(40)))
    assert all(claimed)
    assert len(store._database._pool._idle) == 1
    store.close()


def test_threads_of_two_processes_write_one_history_through_pgbouncer(tmp_path: Path, url: str) -> None:
    def opened(*, create: bool = False) -> PostgresStore:
        keyring = Keyring(tmp_path / "master.key")
        return PostgresStore(
            url, keyring, clock=Clock(), actor="tester", lock_folder=tmp_path / "processes", create=create
        )

    stores = [opened(create=True), opened()]

    def work(number: int) -> None:
        store = stores[number % 2]
        serve(store, issue(store, store.add_domain(f"{number}.test", (), Source.C4)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(20)))
    found = stores[0].verify_history()
    assert (found.broken, found.intact >= 20 * 3) == ("", True)
    for store in stores:
        store.close()
