"""The PostgreSQL server is started again while commands use it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from pathlib import Path

import pytest

from sslctl.errors import Exit
from tests.bench.page_server import Client, PageServer
from tests.bench.program import Sslctl
from tests.support.cdn import Cdn
from tests.support.command_line import command, environment, run
from tests.support.fakes import Clock
from tests.support.moving_cases import make_state
from tests.support.postgres import Cluster
from tests.support.store_cases import PATIENCE

pytestmark = pytest.mark.postgres


@pytest.fixture
def server() -> Iterator[Cluster]:
    """A server of the test's own, which it may stop."""
    with closing(Cluster()) as started:
        yield started


@pytest.mark.parametrize("signal", ["INT", "KILL"])
def test_move_during_a_restart_fails_with_the_next_step_and_goes_on_afterwards(
    tmp_path: Path, clock: Clock, server: Cluster, signal: str
) -> None:
    make_state(tmp_path / "state", 12)
    url = server.url(server.new_database())
    with Cdn(tmp_path, clock, has_state=False) as cdn:
        head = cdn.sslctl("audit", "verify", "--json").json["head"]
        with server.connection(url.split("@/")[1].partition("?")[0]) as holder:
            holder.execute("BEGIN")
            # The move waits here.
            holder.execute("LOCK TABLE event IN EXCLUSIVE MODE")
            moving = subprocess.Popen(
                command("state", "migrate", "--to", url),
                env=environment(cdn),
                stderr=subprocess.PIPE,
                text=True,
            )
            with server.connection("postgres") as watching:
                waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'sslctl'"
                while watching.execute(waits).fetchone() is None:
                    assert moving.poll() is None
            server.stop(signal)
        _, said = moving.communicate(timeout=PATIENCE)
        assert moving.returncode == Exit.UNUSABLE
        assert "cannot use the PostgreSQL database" in said
        assert "Traceback" not in said
        server.start()
        assert cdn.sslctl("list").exit_code == Exit.OK
        assert run(cdn, "state", "migrate", "--to", url).returncode == Exit.OK
        text = cdn.config_path.read_text()
        cdn.config_path.write_text(text.replace('url = ""', f'url = "{url}"'))
        assert cdn.sslctl("audit", "verify", "--head", head).exit_code == Exit.OK


def test_page_is_unavailable_while_the_server_is_down_and_works_again_by_itself(
    tmp_path: Path, clock: Clock, server: Cluster
) -> None:
    with Cdn(tmp_path, clock, has_state=False, state_url=server.url(server.new_database())) as cdn:
        assert cdn.sslctl("init").exit_code == Exit.OK
        assert cdn.sslctl("add", "--no-wait", "shop.example.com").exit_code == Exit.OK
        with page_server(cdn) as client:
            assert client.get("/").status == HTTPStatus.OK
            server.stop("INT")
            down = client.get("/")
            assert (down.status, "PostgreSQL" in down.text, "Traceback" in down.text) == (503, True, False)
            server.start()
            again = client.get("/")
            assert (again.status, "shop.example.com" in again.text) == (HTTPStatus.OK, True)


@contextmanager
def page_server(cdn: Cdn) -> Iterator[Client]:
    """Run `sslctl serve` as a process; yield a client with a session."""
    sslctl = Sslctl(cdn.config_path, cdn.folder / "state")
    with PageServer(sslctl) as running, closing(running.enter(1)[0]) as client:
        yield client
