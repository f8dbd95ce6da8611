"""Limits of the machine: real processes with few tasks, little memory, few open files, or on a file system without locks."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.support import environment
from tests.support.cdn import Cdn, Result

NAMES = [f"d{number:02}.example.com" for number in range(20)]
PATIENCE = 120
TASKS = "clone,clone3,fork,vfork"

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@pytest.fixture
def failing(cdn: Cdn) -> Cdn:
    """A CDN with twenty domains that point elsewhere, queued."""
    for name in NAMES:
        cdn.add_domain(name, points_at="parking.elsewhere.test")
    listed = cdn.folder / "names.txt"
    listed.write_text("\n".join(NAMES))
    assert cdn.sslctl("add", "--no-wait", "--from-file", str(listed)).exit_code == 0
    return cdn


def run(
    cdn: Cdn, *arguments: str, under: Sequence[str] = (), limit: Callable[[], None] | None = None
) -> Result:
    """Run a command in a process of its own, under the command `under`, or with what `limit` sets."""
    command = [*under, sys.executable, "-m", "sslctl", "--config", str(cdn.config_path), *arguments]
    ended = subprocess.run(
        command,
        env={**environment(), "SSLCTL_ACME_WEBROOT": str(cdn.folder / "webroot")},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        preexec_fn=limit,
    )
    return Result(ended.returncode, ended.stdout, ended.stderr)


def injecting(call: str, error: str, *paths: Path, first: int = 1) -> list[str]:
    """Return a command under which the system call `call`, on the files `paths` if there are any, fails from the `first` on."""
    places = [part for path in paths for part in ("-P", str(path))]
    fault = f"inject={call}:error={error}:when={first}+"
    return ["strace", "-f", "-qq", "-o", "/dev/null", *places, "-e", f"trace={call}", "-e", fault]


def statuses(cdn: Cdn) -> dict[str, str]:
    return {each["domain"]: each["reason"]["code"] for each in cdn.sslctl("list", "--json").json["domains"]}


def notices(result: Result) -> list[str]:
    return [line for line in result.stderr.splitlines() if "going on with" in line]


@needs_strace
@pytest.mark.parametrize("threads", [0, 1, 3])
def test_batch_goes_on_with_the_threads_that_the_system_starts(failing: Cdn, threads: int) -> None:
    result = run(failing, "daemon-tick", under=injecting(TASKS, "EAGAIN", first=threads + 1))
    assert result.exit_code == 5, result
    assert set(statuses(failing).values()) == {"CNAME_ELSEWHERE"}
    passes = "1 pass" if threads < 2 else f"{threads} passes"
    (notice,) = notices(result)
    assert f"starts no further process or thread for sslctl; going on with {passes} at a time" in notice


@needs_strace
def test_add_from_file_records_every_domain_without_threads(cdn: Cdn) -> None:
    listed = cdn.folder / "names.txt"
    listed.write_text("\n".join(NAMES))
    for _ in range(2):
        result = run(
            cdn, "add", "--no-wait", "--from-file", str(listed), under=injecting(TASKS, "EAGAIN", first=1)
        )
        assert result.exit_code == 0, result
        assert "bug" not in result.stderr
    assert set(statuses(cdn)) == set(NAMES)


@needs_strace
def test_message_that_no_process_could_send_is_recorded_as_undelivered(failing: Cdn) -> None:
    failing.config_path.write_text(
        failing.config_path.read_text()
        + '[notify]\nurls = ["json://127.0.0.1:9/s3cret"]\nstatuses = ["Failure"]\n'
    )
    failing.config_path.chmod(0o600)
    result = run(failing, "daemon-tick", under=injecting(TASKS, "EAGAIN"))
    assert result.exit_code == 5, result
    assert "bug" not in result.stderr
    notice = failing.sslctl("list", "--json").json["notice"]
    assert notice["troubled"] == len(NAMES)
    assert (
        notice["why"]
        == "URL 1 (json) got no message: the system starts no further process or thread for sslctl"
    )


@needs_strace
def test_domains_stay_queued_if_no_process_can_be_started_for_certbot(cdn: Cdn) -> None:
    for name in NAMES:
        cdn.add_domain(name)
    listed = cdn.folder / "names.txt"
    listed.write_text("\n".join(NAMES))
    assert cdn.sslctl("add", "--no-wait", "--from-file", str(listed)).exit_code == 0
    (cdn.folder / "webroot").mkdir(exist_ok=True)
    result = run(cdn, "daemon-tick", under=injecting(TASKS, "EAGAIN"))
    assert result.exit_code == 75, result
    assert "sslctl: error: the system starts no further process or thread for sslctl" in result.stderr
    assert "TasksMax=" in result.stderr
    assert "bug" not in result.stderr
    assert len(notices(result)) == 1
    assert set(statuses(cdn).values()) == {"QUEUED"}
    # Nothing is lost: the next tick goes on with the orders that were opened.
    assert cdn.sslctl("daemon-tick").exit_code == 0
    assert sorted(order[0] for order in cdn.issuer.orders) == NAMES


@pytest.mark.parametrize("kibibytes", range(60_000, 200_000, 20_000))
@pytest.mark.parametrize("command", [("daemon-tick",), ("recheck",), ("list",), ("view", NAMES[0])])
def test_too_little_memory_is_no_bug(failing: Cdn, command: tuple[str, ...], kibibytes: int) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (kibibytes << 10, kibibytes << 10))

    result = run(failing, *command, limit=limit)
    assert result.exit_code in (0, 5, 8), result
    assert "bug" not in result.stderr
    if result.exit_code == 8:
        assert "sslctl: error: sslctl gets no more memory\n" in result.stderr
        assert f"`ulimit -v` allows {kibibytes} KiB; raise it" in result.stderr
        assert set(statuses(failing).values()) <= {"QUEUED", "CNAME_ELSEWHERE"}
    elif command[0] in ("daemon-tick", "recheck"):
        assert set(statuses(failing).values()) == {"CNAME_ELSEWHERE"}


def test_error_about_memory_is_json_if_json_is_expected(failing: Cdn) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (60_000 << 10, 60_000 << 10))

    result = run(failing, "daemon-tick", "--json", limit=limit)
    assert (result.exit_code, result.json["error"]) == (8, "MACHINE_LIMIT")


@pytest.mark.parametrize("files", [26, 40, 60])
def test_batch_goes_on_with_the_passes_for_which_there_are_open_files(failing: Cdn, files: int) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    result = run(failing, "daemon-tick", limit=limit)
    assert result.exit_code == 5, result
    assert set(statuses(failing).values()) == {"CNAME_ELSEWHERE"}
    (notice,) = notices(result)
    assert "sslctl may open no further file or connection; going on with " in notice


@pytest.mark.parametrize("files", range(5, 13))
@pytest.mark.parametrize("command", ["list", "daemon-tick"])
def test_too_few_open_files_are_no_bug(failing: Cdn, command: str, files: int) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    result = run(failing, command, limit=limit)
    assert result.exit_code in (0, 5, 8), result
    assert "bug" not in result.stderr
    if result.exit_code == 8:
        assert f"`ulimit -n` allows {files}" in result.stderr


@needs_strace
@pytest.mark.parametrize("error", ["ENOLCK", "EOPNOTSUPP", "ENOSYS"])
def test_tick_without_flock_ends_with_8(failing: Cdn, error: str) -> None:
    result = run(failing, "daemon-tick", under=injecting("flock", error))
    assert result.exit_code == 8, result
    assert f"cannot lock {failing.folder / 'state' / 'tick.lock'}: " in result.stderr
    assert "state.dir must be on a file system with locks" in result.stderr
    assert set(statuses(failing).values()) == {"QUEUED"}


@needs_strace
@pytest.mark.parametrize("error", ["ENOLCK", "EOPNOTSUPP", "EINVAL", "ENOSYS"])
@pytest.mark.parametrize("command", ["list", "daemon-tick"])
def test_database_without_locks_ends_with_8(failing: Cdn, command: str, error: str) -> None:
    """SQLite takes ENOLCK for a locked database, and would be waited for."""
    database = failing.folder / "state" / "sslctl.db"
    tested = database.with_name("sslctl.db-lock-test")
    result = run(failing, command, under=injecting("fcntl", error, database, tested))
    assert result.exit_code == 8, result
    assert "sslctl: error: cannot lock " in result.stderr
    assert "state.dir must be on a file system with locks" in result.stderr
    assert not tested.exists()
