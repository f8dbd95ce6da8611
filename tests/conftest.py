"""Fixtures that several test files share."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sslctl.store.keyring import Keyring
from sslctl.store.sqlite.store import SqliteStore
from sslctl.wording import choose_name
from tests.support import memory_folder
from tests.support.cdn import Cdn
from tests.support.fakes import Clock
from tests.support.postgres_programs import find_server
from tests.support.programs import find_program

# Their packages would start servers on port 80.
_OPTIONAL = ("apache",)
_ONE_BY_ONE = "tests/torture/test_classes.py::"
# A run of all tests needs about 1 GiB.
_TEMPORARY_BYTES = 3 << 30


def pytest_configure() -> None:
    """Keep the folders of `tmp_path` in memory if there is enough: on a disk a test waits for fsync most of its time.

    With TMPDIR or `--basetemp` they are where these say. What fsync is for is tested by `tests.torture`: disk and power.
    """
    if memory := memory_folder(_TEMPORARY_BYTES):
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests that need a program of Debian that is missing, unless SSLCTL_REQUIRE_PEBBLE=1 requires all but the optional ones."""
    programs = {
        "pebble": ("pebble", "pebble-challtestsrv"),
        "caddy": ("caddy",),
        "systemd": ("systemd-analyze",),
        "chromium": ("chromium",),
        "nginx": ("nginx",),
        "haproxy": ("haproxy",),
        "apache": ("apache2",),
        "promtool": ("promtool",),
        "postgres": (str(find_server() or "postgres"),),
        "pgbouncer": ("pgbouncer",),
    }
    for package, needed in programs.items():
        if all(map(find_program, needed)):
            continue
        if os.environ.get("SSLCTL_REQUIRE_PEBBLE") == "1" and package not in _OPTIONAL:
            pytest.exit(
                f"{package} is missing, and SSLCTL_REQUIRE_PEBBLE=1 asks for it: apt-get install {package}",
                returncode=1,
            )
        for item in items:
            if item.get_closest_marker(package):
                item.add_marker(pytest.mark.skip(reason=f"Debian's package {package} is not installed"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadfile` keep the tests of a file in one process, except the classes of faults: each is as long as a file."""
    from xdist.scheduler import LoadFileScheduling  # noqa: PLC0415 - this hook is called only where it is installed

    class Scheduling(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return nodeid if nodeid.startswith(_ONE_BY_ONE) else str(super()._split_scope(nodeid))

    return Scheduling(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(autouse=True)
def _messages_about_c4() -> None:
    """Let messages name C4, whatever an earlier test in this process configured."""
    choose_name(is_c4=True)


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still until a test moves it."""
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[SqliteStore]:
    """An empty store in a real SQLite file."""
    opened = SqliteStore(
        tmp_path / "state" / "sslctl.db",
        Keyring(tmp_path / "state" / "master.key"),
        clock=clock,
        actor="tester (pytest)",
        create=True,
    )
    yield opened
    opened.close()


@pytest.fixture
def cdn(tmp_path: Path, clock: Clock) -> Iterator[Cdn]:
    """A running CDN with the fake CA."""
    with Cdn(tmp_path, clock) as running:
        yield running


@pytest.fixture
def new_cdn(tmp_path: Path, clock: Clock) -> Iterator[Cdn]:
    """A running CDN with the fake CA, where sslctl has no state yet."""
    with Cdn(tmp_path, clock, has_state=False) as running:
        yield running


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A listening socket on a loopback port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        yield server


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A loopback port that refuses connections."""
    # Bound but not listening: no other program can take the port, and connections are refused.
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]
