"""How a sandbox ends, what it leaves behind, and a sandbox that is kept."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from sslctl.sandbox.pebble import missing
from tests.support.processes import with_default_signals
from tests.support.sandbox import SSLCTL, environment, processes_of, sandbox_up

pytestmark = [
    pytest.mark.pebble,
    pytest.mark.skipif(missing() is not None, reason="Pebble is not installed"),
]
SHOP, BLOG, NEW = "shop.example.test", "blog.example.test", "new.example.test"


def run(tmp_path: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `sslctl sandbox up`, which ends by itself."""
    return subprocess.run(
        [*SSLCTL, "sandbox", "up", *options],
        env={**environment(tmp_path), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_stops_the_sandbox_and_deletes_its_state_with_the_path(tmp_path: Path, number: int) -> None:
    with sandbox_up(tmp_path) as sandbox:
        output = sandbox.stop(number)
    assert f"Ctrl-C stops the sandbox and deletes its state in {sandbox.folder}." in sandbox.introduction
    assert output == f"Stopping the sandbox and deleting its state in {sandbox.folder}.\nStopped.\n"
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == []


def test_second_signal_does_not_stop_the_cleaning_up(tmp_path: Path) -> None:
    with sandbox_up(tmp_path) as sandbox:
        # A Pebble that does not react is killed after 5 seconds, so that the second signal comes meanwhile.
        pebble = next(
            path.parent.name
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if path.read_bytes().startswith(b"pebble\0") and str(sandbox.folder).encode() in path.read_bytes()
        )
        os.kill(int(pebble), signal.SIGSTOP)
        sandbox.process.send_signal(signal.SIGINT)
        assert sandbox.process.stderr is not None
        assert sandbox.process.stderr.readline().startswith("Stopping the sandbox and deleting its state")
        assert sandbox.stop(signal.SIGINT) == "Still stopping.\nStopped.\n"
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == []


def test_signal_during_the_start_leaves_nothing_behind(tmp_path: Path) -> None:
    """A Pebble that never answers keeps the start from ending."""
    kept, programs = tmp_path / "kept", tmp_path / "programs"
    programs.mkdir()
    _write_program(programs / "pebble", "exec sleep 60")
    with subprocess.Popen(
        with_default_signals(*SSLCTL, "sandbox", "up", "--keep", str(kept)),
        env={**environment(tmp_path), "PATH": f"{programs}:{os.environ['PATH']}"},
        stderr=subprocess.PIPE,
        text=True,
    ) as up:
        while not (kept / "pebble" / "pebble.log").exists():
            assert up.poll() is None
        up.send_signal(signal.SIGTERM)
        _, output = up.communicate(timeout=30)
    assert up.returncode == 130
    assert output.endswith("sslctl: error: interrupted\n")
    assert not kept.exists()
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize("exists", [False, True])
def test_failed_start_leaves_the_folder_as_it_was(tmp_path: Path, exists: bool) -> None:
    kept, programs = tmp_path / "kept", tmp_path / "programs"
    programs.mkdir()
    _write_program(programs / "pebble", "echo broken; exit 1")
    if exists:
        kept.mkdir()
    result = run(tmp_path, "--keep", str(kept), PATH=f"{programs}:{os.environ['PATH']}")
    assert result.returncode == 8
    assert "pebble ended at once; it printed: broken" in result.stderr
    assert kept.exists() == exists
    assert not exists or list(kept.iterdir()) == []
    assert processes_of(tmp_path) == []


def test_kept_sandbox_starts_again_with_its_domains_and_certificates(tmp_path: Path) -> None:
    kept = tmp_path / "a folder"
    options = ("--keep", str(kept), "--certificate-seconds", "86400")
    with sandbox_up(tmp_path, *options) as sandbox:
        sandbox.do("domain", NEW, "--caa", '0 issue "other.example"')
        assert sandbox.run("add", SHOP, NEW).returncode == 5
        before = sandbox.view(SHOP)["serving"]["fingerprint_sha256"]
        output = sandbox.stop(signal.SIGINT)
    assert f"Ctrl-C stops the sandbox and keeps it in {kept}." in sandbox.introduction
    assert f"Stopping the sandbox. It is kept in {kept}; start it again with: " in output
    assert processes_of(kept) == []
    command = output.partition("start it again with: ")[2].splitlines()[0]
    assert command.endswith(f"sandbox up --keep '{kept}'")

    with sandbox_up(tmp_path, *options) as again:
        assert again.folder == sandbox.folder == kept
        assert again.view(SHOP)["serving"]["fingerprint_sha256"] == before
        assert again.view(NEW)["reason"]["code"] == "CAA_FORBIDS"
        # The records of DNS are those of the first run, and the new CA, which does not know the account, renews.
        assert again.run("recheck", NEW).returncode == 4
        again.do("domain", NEW)
        assert again.run("recheck", NEW).returncode == 0
        assert again.run("recheck", SHOP, "--force-renew").returncode == 0
        assert again.view(SHOP)["serving"]["fingerprint_sha256"] != before
        again.stop(signal.SIGTERM)
    assert "The CA is a new one." in again.introduction
    assert NEW in again.introduction
    assert kept.exists()


def test_folder_in_use_by_another_sandbox_is_refused(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    with sandbox_up(tmp_path, "--keep", str(kept)) as sandbox:
        second = run(tmp_path, "--keep", str(kept))
        assert second.returncode == 75
        assert f"another sandbox runs in {kept}" in second.stderr
        assert sandbox.run("add", SHOP).returncode == 0
        sandbox.stop(signal.SIGINT)


def test_kept_sandbox_that_was_killed_starts_again(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    with sandbox_up(tmp_path, "--keep", str(kept)) as sandbox:
        assert sandbox.run("add", SHOP).returncode == 0
        sandbox.process.kill()
        sandbox.process.wait()
    with sandbox_up(tmp_path, "--keep", str(kept)) as again:
        assert again.run("recheck", SHOP).returncode == 0
        again.stop(signal.SIGINT)


def test_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    result = run(tmp_path, "--keep", str(folder))
    assert result.returncode == 8
    assert "it has files that are not a sandbox's" in result.stderr
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_folder_that_is_a_file_or_cannot_be_created_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/sandbox")):
        result = run(tmp_path, "--keep", str(path))
        assert result.returncode == 8
        assert f"the sandbox cannot be kept in {path}: " in result.stderr
        assert "Traceback" not in result.stderr
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("as_module", [False, True])
def test_advice_works_when_pasted_into_a_shell_without_sslctl_on_path(
    tmp_path: Path, as_module: bool
) -> None:
    command = SSLCTL if as_module else [str(Path(SSLCTL[0]).parent / "sslctl")]
    folder = tmp_path / "it's a folder"
    folder.mkdir()
    if not as_module:
        script = folder / "sslctl"
        shutil.copy(command[0], script)
        command = [str(script)]
    with sandbox_up(folder, command=command) as sandbox:
        advice = [line.strip() for line in sandbox.introduction.splitlines() if "#" in line]
        # The page would run until somebody ends it.
        advice = [line for line in advice if " serve " not in line]
        assert len(advice) == 6
        codes = [
            subprocess.run(
                ["env", "-i", "PATH=/usr/bin:/bin", "sh", "-c", f"{sandbox.line}\n{line}"],
                cwd="/",
                capture_output=True,
                check=False,
            ).returncode
            for line in advice
        ]
        sandbox.stop(signal.SIGINT)
    # One domain is not well, because its CNAME points elsewhere: `add` and `check` end with that.
    assert codes == [5, 0, 0, 4, 0, 0]


def _write_program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
