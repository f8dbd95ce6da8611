"""The Unix socket of the page: who can use it, what it replaces, and what it leaves."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from contextlib import closing
from pathlib import Path

import pytest

from sslctl.errors import Busy, ConfigError
from sslctl.web.listeners import TcpListener, UnixListener


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "page.sock"


def connect(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def refusal(path: Path, group: str = "") -> str:
    """Return the message with which no socket is made at `path`."""
    with pytest.raises((ConfigError, Busy)) as caught:
        UnixListener(path, group)
    return f"{caught.value.message} ({caught.value.hint})"


def test_socket_is_for_user_and_group_and_ends_with_the_listener(path: Path) -> None:
    with closing(UnixListener(path, "")):
        found = path.lstat()
        assert (stat.S_ISSOCK(found.st_mode), stat.S_IMODE(found.st_mode)) == (True, 0o660)
        connect(path)
    assert not path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may choose any group")
def test_socket_belongs_to_the_configured_group(path: Path) -> None:
    with closing(UnixListener(path, "daemon")):
        assert path.group() == "daemon"


def test_socket_that_a_server_left_behind_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with closing(UnixListener(path, "")):
        connect(path)


def test_socket_of_a_running_server_is_not_replaced(path: Path) -> None:
    with closing(UnixListener(path, "")):
        assert "a server listens on" in refusal(path)
        connect(path)


def test_socket_of_a_server_that_hangs_is_not_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as hanging, socket.socket(socket.AF_UNIX) as waiting:
        hanging.bind(str(path))
        hanging.listen(0)
        waiting.connect(str(path))
        with pytest.raises(Busy, match="a server listens on"):
            UnixListener(path, "", probe_seconds=0.01)
    assert path.exists()


def test_two_servers_that_start_at_once_do_not_replace_each_other(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        assert "another process is about to listen" in refusal(path)
    finally:
        os.close(folder)
    assert not path.exists()


def test_file_that_is_no_socket_stays(path: Path, tmp_path: Path) -> None:
    path.write_text("mine")
    assert "exists and is no socket" in refusal(path)
    assert path.read_text() == "mine"
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    assert "exists and is no socket" in refusal(link)
    assert link.is_symlink()


def test_socket_of_another_server_is_not_removed_at_the_end(path: Path) -> None:
    with closing(UnixListener(path, "")):
        path.unlink()
        other = UnixListener(path, "")
    with closing(other):
        connect(path)


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770])
def test_folder_in_which_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(mode)
    assert "no socket is made there" in refusal(folder / "page.sock")


def test_unusable_path_or_group_is_explained(path: Path, tmp_path: Path) -> None:
    assert "No such file or directory (make its folder first)" in refusal(tmp_path / "missing" / "page.sock")
    assert "107 bytes" in refusal(tmp_path / ("x" * 108))
    assert "web.socket_group: there is no group nosuchgroup" in refusal(path, "nosuchgroup")
    assert not path.exists()


def test_port_in_use_is_explained() -> None:
    with closing(TcpListener("127.0.0.1", 0)) as first, pytest.raises(ConfigError) as caught:
        TcpListener("127.0.0.1", first.port)
    assert "--port 0 takes a free one" in str(caught.value.hint)
