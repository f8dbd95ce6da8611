"""Files named by a user are read without blocking forever and without filling the memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sslctl.config.settings import load
from sslctl.errors import ConfigError, StateError
from sslctl.store.keyring import Keyring
from sslctl.system.files import read_bounded, read_regular, replacing


def test_regular_file_is_read_up_to_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    assert read_regular(file, 5)[0] == read_bounded(file, 5) == b"12345"
    for read in (read_regular, read_bounded):
        with pytest.raises(OSError, match="larger than 4 bytes"):
            read(file, 4)


@pytest.mark.parametrize("place", ["fifo", "/dev/zero", "folder"])
def test_read_regular_refuses_anything_but_a_regular_file(tmp_path: Path, place: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=r"regular file|directory"):
        read_regular(tmp_path / place, 10)
    with pytest.raises(ConfigError):
        load(tmp_path / place, {})
    with pytest.raises(StateError):
        Keyring(tmp_path / place).decrypt(b"")


def test_read_bounded_stops_at_its_limit_on_an_endless_file() -> None:
    with pytest.raises(OSError, match="larger than 1000 bytes"):
        read_bounded(Path("/dev/zero"), 1000)


def test_replacing_writes_the_whole_file_or_nothing(tmp_path: Path) -> None:
    # A domain name of the longest length, as the name of a file.
    path = tmp_path / ("d" * 255)
    with replacing(path) as file:
        file.write(b"first")
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(TypeError), replacing(path) as file:
        file.writelines([b"second", None])  # type: ignore[list-item]
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"first", [path])
    with pytest.raises(FileExistsError), replacing(path, force=False) as file:
        file.write(b"third")
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"first", [path])
