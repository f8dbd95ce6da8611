"""The folder of challenge files: no symlink on its path is followed, and no other user may write into it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from certbot._internal.plugins import webroot as certbots
from certbot._internal.plugins.disco import PluginsRegistry

from sslctl.issuer.certbot import authenticator, challenge_files
from sslctl.issuer.certbot.answers import Answers

PLACE = Path(".well-known") / "acme-challenge"


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def webroot(tmp_path: Path) -> Path:
    made = tmp_path / "srv" / "webroot"
    made.mkdir(mode=0o755, parents=True)
    made.parent.chmod(0o755)
    return made


def _write(webroot: Path, content: bytes = b"answer") -> challenge_files.Identity:
    with challenge_files.opened(webroot) as folder:
        return challenge_files.write(folder, "token", content)


def _remove(webroot: Path, written: challenge_files.Identity) -> None:
    with challenge_files.opened(webroot) as folder:
        challenge_files.remove(folder, "token", written)


@pytest.mark.parametrize("umask", [0, 0o077])
def test_write_creates_a_world_readable_file_and_remove_deletes_it(webroot: Path, umask: int) -> None:
    os.umask(umask)
    written = _write(webroot)
    answer = webroot / PLACE / "token"
    assert answer.read_bytes() == b"answer"
    assert oct(answer.stat().st_mode & 0o777) == "0o644"
    assert {oct(path.stat().st_mode & 0o777) for path in (answer.parent, answer.parent.parent)} == {"0o755"}
    _remove(webroot, written)
    assert not answer.exists()


def test_write_replaces_a_file_that_a_killed_run_left(webroot: Path) -> None:
    _write(webroot, b"old")
    _write(webroot, b"new")
    assert (webroot / PLACE / "token").read_bytes() == b"new"


def test_write_keeps_the_same_answer_that_a_killed_run_left(webroot: Path) -> None:
    # The CA may be reading it at this moment.
    written = _write(webroot, b"same")
    # While it is open, no other file can get its inode number.
    with (webroot / PLACE / "token").open("rb"):
        assert _write(webroot, b"same") == written


@pytest.mark.parametrize("left", [b"", b"sam", b"same and more"])
def test_write_replaces_an_incomplete_answer(webroot: Path, left: bytes) -> None:
    _write(webroot, left)
    _remove(webroot, _write(webroot, b"same"))
    assert not (webroot / PLACE / "token").exists()


def test_write_replaces_an_answer_that_the_web_server_cannot_read(webroot: Path) -> None:
    _write(webroot)
    (webroot / PLACE / "token").chmod(0o600)
    _write(webroot)
    assert (webroot / PLACE / "token").stat().st_mode & 0o777 == 0o644


def test_remove_keeps_a_file_that_another_program_put_there(webroot: Path) -> None:
    written = _write(webroot, b"ours")
    # Created before our file is gone, or it could get the same inode number.
    other = webroot / PLACE / "other"
    other.write_bytes(b"theirs")
    other.rename(webroot / PLACE / "token")
    _remove(webroot, written)
    assert (webroot / PLACE / "token").read_bytes() == b"theirs"


def _link_folder(path: Path) -> None:
    real = path.with_name("real")
    path.rename(real)
    path.symlink_to(real)


@pytest.mark.parametrize("place", ["srv", "srv/webroot", "srv/webroot/.well-known", f"srv/webroot/{PLACE}"])
def test_write_raises_os_error_for_a_symlink_on_the_path(tmp_path: Path, webroot: Path, place: str) -> None:
    (webroot / PLACE).mkdir(mode=0o755, parents=True)
    os.chmod(webroot / ".well-known", 0o755)  # noqa: PTH101, S103 - as web servers need it
    _link_folder(tmp_path / place)
    with pytest.raises(OSError, match=f"{tmp_path / place} is a symbolic link"):
        _write(webroot)
    assert list(tmp_path.rglob("token")) == []


@pytest.mark.parametrize("place", ["srv", "srv/webroot", "srv/webroot/.well-known", f"srv/webroot/{PLACE}"])
@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757])
def test_write_raises_os_error_when_other_users_can_change_a_folder(
    tmp_path: Path, webroot: Path, place: str, mode: int
) -> None:
    _remove(webroot, _write(webroot))
    (tmp_path / place).chmod(mode)
    with pytest.raises(OSError, match=f"other users can change {tmp_path / place} and .*chmod go-w"):
        _write(webroot)
    assert list(tmp_path.rglob("token")) == []


def test_write_accepts_the_sticky_bit_only_above_the_webroot(webroot: Path) -> None:
    webroot.parent.chmod(0o1777)
    _write(webroot)
    webroot.chmod(0o1777)
    with pytest.raises(OSError, match="other users can change"):
        _write(webroot)


def test_write_creates_nothing_when_other_users_can_change_the_path(webroot: Path) -> None:
    webroot.parent.chmod(0o777)
    with pytest.raises(OSError, match="other users can change"):
        _write(webroot)
    assert list(webroot.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_write_gives_new_folders_to_the_owner_of_the_webroot(webroot: Path) -> None:
    os.chown(webroot, 33, 33)
    _write(webroot)
    assert (webroot / PLACE).stat().st_uid == 33
    os.chown(webroot / PLACE, 34, 34)
    with pytest.raises(OSError, match="other users can change"):
        _write(webroot)


def _make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        folder = os.open(path.parent, os.O_PATH)
        made.bind(f"/proc/self/fd/{folder}/{path.name}")
        os.close(folder)


@pytest.mark.parametrize(
    "make",
    [os.mkfifo, os.mkdir, _make_socket, lambda path: path.symlink_to("/etc/hostname")],
    ids=["FIFO", "folder", "socket", "link"],
)
def test_write_raises_os_error_when_the_target_is_not_a_regular_file(
    webroot: Path, make: Callable[[Path], object]
) -> None:
    _remove(webroot, _write(webroot))
    make(webroot / PLACE / "token")
    with pytest.raises(OSError, match="challenge file token is not a regular file: remove it"):
        _write(webroot)


def test_write_raises_os_error_when_the_webroot_is_missing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=f"cannot use {tmp_path / 'none'}"):
        _write(tmp_path / "none")


def test_install_replaces_the_webroot_plugin_of_certbot(
    webroot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certbots, "Authenticator", certbots.Authenticator)
    authenticator.install(webroot, Answers(webroot / "answers"))
    assert PluginsRegistry.find_all()["webroot"].plugin_cls is authenticator.Authenticator
