"""Only one tick runs at a time, and a domain is claimed by the tick or by a command. Real processes, real locks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sslctl.errors import StateError
from sslctl.system.locks import locked
from tests.support.cdn import Cdn
from tests.support.lock_holder import fork_child
from tests.support.store_cases import PATIENCE, look_into, processes
from tests.support.tick_cases import tick

NAMES = [f"{number}.example.com" for number in range(3)]


@pytest.mark.parametrize("number", [2, 5, 20])
def test_exactly_one_of_several_simultaneous_ticks_runs(cdn: Cdn, number: int) -> None:
    for name in NAMES:
        cdn.add_domain(name)
        assert cdn.sslctl("add", name, "--no-wait").exit_code == 0
    context = processes()
    start, may_issue, results = context.Barrier(number), context.Event(), context.Queue()
    running = [
        context.Process(target=tick, args=(cdn.config_path, start, may_issue, results)) for _ in range(number)
    ]
    for process in running:
        process.start()
    # The tick that runs continues only after all others have ended.
    refused = [results.get(timeout=PATIENCE) for _ in range(number - 1)]
    may_issue.set()
    ran = results.get(timeout=PATIENCE)
    for process in running:
        process.join(PATIENCE)
    assert {(code, without_notices(stderr), orders) for code, stderr, orders in refused} == {(0, "", 0)}
    assert (ran[0], without_notices(ran[1]), ran[2]) == (0, "", len(NAMES))
    assert [len(cdn.uploads(name)) for name in NAMES] == [1, 1, 1]
    with look_into(cdn.folder / "state" / "sslctl.db") as connection:
        orders = connection.execute("SELECT domain_id, count(*) FROM acme_order GROUP BY 1").fetchall()
    assert orders == [(1, 1), (2, 1), (3, 1)]
    assert cdn.sslctl("daemon-tick").exit_code == 0


def without_notices(stderr: str) -> str:
    """Return `stderr` without the notices of waiting for the database, which depend on the speed of the machine."""
    return "\n".join(line for line in stderr.splitlines() if not line.startswith("sslctl: waiting"))


# The lock

_HOLD = """
import subprocess, sys, time
from pathlib import Path
from sslctl.system.locks import locked
with locked(Path(sys.argv[1])) as is_free:
    child = subprocess.Popen(["sleep", "60"])
    print(is_free, child.pid, flush=True)
    time.sleep(60)
"""


def test_lock_is_released_when_its_process_dies_even_if_a_child_survives(tmp_path: Path) -> None:
    path = tmp_path / "tick.lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(path)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert holder.stdout is not None
        is_free, child = holder.stdout.readline().split()
        assert is_free == "True"
        with locked(path) as taken:
            assert not taken
        holder.kill()
        holder.wait(PATIENCE)
        assert Path(f"/proc/{child}").exists()
        with locked(path) as taken:
            assert taken
    finally:
        os.killpg(holder.pid, signal.SIGKILL)
        holder.communicate()
    assert path.stat().st_mode & 0o777 == 0o600


def test_forked_child_neither_keeps_nor_releases_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "tick.lock"
    with locked(path) as is_free:
        assert is_free
        child = fork_child()
        with locked(path) as taken:
            assert not taken, "the child released it"
    try:
        with locked(path) as taken:
            assert taken, "the child keeps it"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_lock_cannot_be_acquired_twice_in_one_process(tmp_path: Path) -> None:
    path = tmp_path / "tick.lock"
    with locked(path) as first, locked(path) as second:
        assert (first, second) == (True, False)
    with locked(path) as again:
        assert again


def test_locked_raises_state_error_when_the_lock_file_is_a_symlink(tmp_path: Path) -> None:
    (tmp_path / "tick.lock").symlink_to(tmp_path / "elsewhere")
    with (
        pytest.raises(StateError, match=r"cannot open the lock .*tick\.lock"),
        locked(tmp_path / "tick.lock"),
    ):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_tick_is_refused_while_the_lock_is_held_even_without_a_claim(cdn: Cdn) -> None:
    """The claim may have passed its deadline; the lock is enough."""
    assert cdn.sslctl("daemon-tick").exit_code == 0
    with locked(cdn.folder / "state" / "tick.lock"):
        result = cdn.sslctl("daemon-tick")
        assert (result.exit_code, result.stderr) == (75, "sslctl: error: another tick is running\n")
        assert cdn.sslctl("daemon-tick", "--dry-run").exit_code == 0
    assert cdn.sslctl("daemon-tick").exit_code == 0


# Claims of single domains


def _commands(cdn: Cdn) -> dict[str, list[str]]:
    name = NAMES[0]
    return {
        "add": ["add", name],
        "add, other names": ["add", name, "--san", NAMES[1]],
        "add, a pair": ["add", name, *cdn.paste(cdn.text_pair(name, NAMES[1]))],
        "recheck": ["recheck", name],
        "delete": ["delete", name, "--yes"],
    }


def test_commands_are_refused_for_a_domain_that_a_running_tick_has_claimed(cdn: Cdn) -> None:
    for name in NAMES:
        cdn.add_domain(name)
    assert cdn.sslctl("add", NAMES[0], "--no-wait").exit_code == 0
    context = processes()
    start, may_issue, results = context.Barrier(1), context.Event(), context.Queue()
    running = context.Process(target=tick, args=(cdn.config_path, start, may_issue, results))
    running.start()
    _wait_for_order(cdn)
    for what, command in _commands(cdn).items():
        result = cdn.sslctl(*command)
        assert (result.exit_code, result.stdout) == (75, ""), what
        assert f"another sslctl works on {NAMES[0]}\n" in result.stderr, what
    assert cdn.uploads(NAMES[0]) == []
    # Other domains are not affected.
    assert cdn.sslctl("add", NAMES[1]).exit_code == 0
    may_issue.set()
    assert results.get(timeout=PATIENCE) == (0, "", 1)
    running.join(PATIENCE)
    for what, command in _commands(cdn).items():
        assert cdn.sslctl(*command).exit_code == 0, what


def _wait_for_order(cdn: Cdn) -> None:
    """Wait until the tick has placed an order."""
    deadline = time.monotonic() + PATIENCE
    with look_into(cdn.folder / "state" / "sslctl.db") as connection:
        while not connection.execute("SELECT 1 FROM acme_order").fetchall():
            assert time.monotonic() < deadline
            time.sleep(0.01)
