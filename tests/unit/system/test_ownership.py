"""A file that another user can change is found, wherever on its path that is possible."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from sslctl.system.ownership import can_others_change, find_intruder

NOBODY = 65534


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of ours, three folders deep."""
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    path = folder / "config.toml"
    path.write_text("")
    path.chmod(0o640)
    return path


def test_find_intruder_returns_none_for_a_file_that_only_we_can_change(file: Path) -> None:
    assert find_intruder(file) is None


@pytest.mark.parametrize("mode", [0o660, 0o606, 0o622, 0o666])
def test_find_intruder_reports_a_file_that_group_or_others_can_write(file: Path, mode: int) -> None:
    file.chmod(mode)
    intruder = find_intruder(file)
    assert intruder is not None
    assert intruder.problem == f"other users can change {file} (mode {mode:04o})"
    assert intruder.cure == f"chmod go-w {file}"


@pytest.mark.parametrize("depth", [0, 1])
def test_find_intruder_reports_a_folder_above_that_others_can_write(file: Path, depth: int) -> None:
    folder = file.parents[depth]
    folder.chmod(0o777)
    intruder = find_intruder(file)
    assert intruder is not None
    assert intruder.cure == f"chmod go-w {folder}"


def test_find_intruder_accepts_a_folder_with_the_sticky_bit(file: Path) -> None:
    file.parent.chmod(0o777 | stat.S_ISVTX)
    assert find_intruder(file) is None


def test_find_intruder_reports_the_sticky_bit_of_a_file_that_others_can_write(file: Path) -> None:
    file.chmod(0o666 | stat.S_ISVTX)
    assert find_intruder(file) is not None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("depth", [None, 0, 1])
def test_find_intruder_reports_another_owner_of_the_file_or_a_folder(file: Path, depth: int | None) -> None:
    place = file if depth is None else file.parents[depth]
    os.chown(place, NOBODY, -1)
    intruder = find_intruder(file)
    assert intruder is not None
    assert intruder.problem == f"{place} belongs to the user nobody"
    assert intruder.cure == "sudo -u nobody sslctl …"


def test_find_intruder_examines_the_folders_of_a_link_and_those_of_its_target(
    file: Path, tmp_path: Path
) -> None:
    links = tmp_path / "links"
    links.mkdir()
    link = links / "config.toml"
    link.symlink_to(file)
    assert find_intruder(link) is None
    links.chmod(0o777)
    assert find_intruder(link) is not None
    links.chmod(0o755)
    file.parent.chmod(0o777)
    assert find_intruder(link) is not None


def test_find_intruder_raises_oserror_for_a_missing_file(file: Path) -> None:
    file.unlink()
    with pytest.raises(FileNotFoundError):
        find_intruder(file)


@pytest.mark.parametrize(
    ("mode", "is_above", "expected"),
    [
        (0o755, False, False),
        (0o775, False, True),
        (0o757, True, True),
        (0o777 | stat.S_ISVTX, False, True),
        (0o777 | stat.S_ISVTX, True, False),
    ],
)
def test_can_others_change_accepts_the_sticky_bit_only_above(
    tmp_path: Path, mode: int, *, is_above: bool, expected: bool
) -> None:
    tmp_path.chmod(mode)
    found = tmp_path.stat()
    tmp_path.chmod(0o700)
    assert can_others_change(found, is_above=is_above) is expected


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_can_others_change_accepts_the_named_owners(file: Path) -> None:
    os.chown(file, NOBODY, -1)
    assert can_others_change(file.stat())
    assert not can_others_change(file.stat(), NOBODY)
