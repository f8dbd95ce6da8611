"""The lock by which a process proves that it lives. Real processes, namespaces and signals."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sslctl.errors import StateError
from sslctl.system import process_lock
from tests.support.lock_holder import has_namespaces, holder, in_container
from tests.support.store_cases import PATIENCE

_ROOT = Path(__file__).parents[3]


def test_lock_is_held_until_its_last_holder_releases_it(tmp_path: Path) -> None:
    lock = process_lock.hold(tmp_path / "p")
    assert process_lock.hold(tmp_path / "p") is lock
    process_lock.release(tmp_path / "p")
    assert process_lock.is_alive(tmp_path / "p", lock.id)
    assert process_lock.count_alive(tmp_path / "p") == 0, "only other processes count"
    process_lock.release(tmp_path / "p")
    assert process_lock.is_alive(tmp_path / "p", lock.id) is False
    assert not (tmp_path / "p").exists()
    process_lock.release(tmp_path / "p")


def test_files_and_folder_are_private(tmp_path: Path) -> None:
    lock = process_lock.hold(tmp_path / "p")
    assert stat.S_IMODE((tmp_path / "p").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "p" / lock.id).stat().st_mode) == 0o600
    process_lock.release(tmp_path / "p")


def test_process_is_dead_after_kill(tmp_path: Path) -> None:
    with holder(tmp_path) as (process, (lock, *_)):
        assert process_lock.is_alive(tmp_path, lock)
        assert process_lock.count_alive(tmp_path) == 1
        process.kill()
        process.wait(PATIENCE)
        assert (tmp_path / lock).exists()
        assert process_lock.is_alive(tmp_path, lock) is False


def test_child_that_outlives_its_parent_does_not_keep_it_alive(tmp_path: Path) -> None:
    with holder(tmp_path, "fork") as (process, (lock, _, _, child)):
        try:
            assert process_lock.is_alive(tmp_path, lock), "the child unlocked what its parent holds"
            process.kill()
            process.wait(PATIENCE)
            os.kill(int(child), 0)
            assert process_lock.is_alive(tmp_path, lock) is False
        finally:
            os.kill(int(child), signal.SIGKILL)


def test_child_that_ends_leaves_the_lock_to_its_parent(tmp_path: Path) -> None:
    with holder(tmp_path, "fork") as (_, (lock, _, _, child)):
        os.kill(int(child), signal.SIGKILL)
        assert process_lock.is_alive(tmp_path, lock)


def test_stopped_process_is_alive(tmp_path: Path) -> None:
    with holder(tmp_path) as (process, (lock, *_)):
        process.send_signal(signal.SIGSTOP)
        assert process_lock.is_alive(tmp_path, lock)


@pytest.mark.skipif(not has_namespaces(), reason="new namespaces are not permitted")
def test_process_of_another_pid_namespace_and_host_is_alive_until_it_is_killed(tmp_path: Path) -> None:
    with holder(tmp_path, prefix=in_container("other.test")) as (process, (lock, pid, host, _)):
        assert (pid, host) == ("1", "other.test")
        assert process_lock.is_alive(tmp_path, lock)
        process.kill()
        process.communicate()  # unshare kills its child, which ends the output
        assert process_lock.is_alive(tmp_path, lock) is False


@pytest.mark.skipif(not has_namespaces(), reason="new namespaces are not permitted")
def test_process_sees_from_its_namespace_that_another_is_alive(tmp_path: Path) -> None:
    lock = process_lock.hold(tmp_path)
    look = (
        "import sys; from pathlib import Path; from sslctl.system import process_lock;"
        " print(process_lock.is_alive(Path(sys.argv[1]), sys.argv[2]))"
    )
    command = [*in_container("other.test"), sys.executable, "-c", look, str(tmp_path), lock.id]
    assert subprocess.run(command, capture_output=True, text=True, check=True, cwd=_ROOT).stdout == "True\n"
    process_lock.release(tmp_path)


_RACE = """
import sys
from pathlib import Path
from sslctl.system import process_lock
folder = Path(sys.argv[1])
for _ in range(int(sys.argv[2])):
    lock = process_lock.hold(folder)
    process_lock.remove_dead(folder)
    assert process_lock.is_alive(folder, lock.id), "a cleaner removed the file of a living process"
    if len(sys.argv) == 3:
        process_lock.release(folder)
    else:
        process_lock._forget_all()
"""


def test_racing_cleaners_never_remove_the_file_of_a_living_process(tmp_path: Path) -> None:
    dying: tuple[list[str], ...] = ([], [], ["leave the file behind, as kill -9 does"], ["the same"])
    running = [
        subprocess.Popen([sys.executable, "-c", _RACE, str(tmp_path), "300", *more], cwd=_ROOT)
        for more in dying
    ]
    assert [process.wait(PATIENCE) for process in running] == [0, 0, 0, 0]


def test_new_process_removes_the_files_of_dead_ones(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"dead{number}").touch()
    (tmp_path / ".new-dead").touch()
    with holder(tmp_path) as (_, (living, *_)):
        lock = process_lock.hold(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {living, lock.id}
        process_lock.release(tmp_path)


@pytest.mark.parametrize("name", ["", "../x", ".", "/etc/passwd"])
def test_name_that_is_no_id_of_a_lock_is_unknown(tmp_path: Path, name: str) -> None:
    assert process_lock.is_alive(tmp_path, name) is None


def test_symlink_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    assert process_lock.is_alive(tmp_path, "a") is None


def test_folder_that_cannot_be_made_is_a_state_error(tmp_path: Path) -> None:
    (tmp_path / "p").touch()
    with pytest.raises(StateError, match="cannot lock a file in"):
        process_lock.hold(tmp_path / "p")
