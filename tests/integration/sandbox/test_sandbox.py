"""The sandbox: the demo runs to its end, `up` runs until it is stopped, and nothing is left behind."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import with_default_signals

SSLCTL = [sys.executable, "-m", "sslctl"]


def _environment(tmp_path: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SSLCTL_")}
    return {**kept, "TMPDIR": str(tmp_path)}


def _processes_of(folder: Path) -> list[str]:
    """Return the command lines of the processes that mention `folder`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_text().replace("\0", " ")
        except OSError:
            continue
        if str(folder) in line:
            found.append(line)
    return found


@pytest.mark.pebble
def test_demo_runs_every_command_and_leaves_nothing_behind(tmp_path: Path) -> None:
    result = subprocess.run(
        [*SSLCTL, "sandbox", "demo"],
        env=_environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "CHECK FAILED" not in result.stdout
    typed = re.findall(r"^\$ sslctl (\S+)", result.stdout, re.MULTILINE)
    assert {"add", "list", "view", "download", "daemon-tick", "recheck", "delete"} == set(typed)
    assert list(tmp_path.iterdir()) == []
    assert _processes_of(tmp_path) == []


@pytest.mark.pebble
@pytest.mark.parametrize("mode", ["webroot", "standalone"])
def test_up_prints_the_environment_line_and_serves_other_commands(tmp_path: Path, mode: str) -> None:
    with subprocess.Popen(
        with_default_signals(*SSLCTL, "sandbox", "up", "--mode", mode),
        env=_environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as up:
        assert up.stdout is not None
        line = up.stdout.readline()
        variable, path = shlex.split(line)[1].split("=")
        environment = {**_environment(tmp_path), variable: path}
        added = subprocess.run(
            [*SSLCTL, "add", "shop.example.test", "blog.example.test"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        mended = [
            subprocess.run([*SSLCTL, *arguments.split()], env=environment, check=False).returncode
            for arguments in (
                "sandbox break lookup --status 500",
                "recheck blog.example.test",
                "sandbox heal",
                "sandbox domain blog.example.test",
                "recheck blog.example.test",
                "sandbox domain new.example.test --points-at elsewhere.example.test",
                "add new.example.test",
            )
        ]
        up.send_signal(signal.SIGINT)
        assert up.wait(timeout=30) == 0
    # The CNAME that leads elsewhere is still known while C4 does not answer.
    assert mended == [0, 75, 0, 0, 0, 0, 4]
    assert line.startswith("export SSLCTL_CONFIG=")
    assert added.returncode == 5
    assert "shop.example.test: Success" in added.stdout
    assert "blog.example.test: Failure CNAME_ELSEWHERE" in added.stdout
    assert list(tmp_path.iterdir()) == []
    assert _processes_of(tmp_path) == []


def test_demo_explains_how_to_install_pebble_when_it_is_missing(tmp_path: Path) -> None:
    result = subprocess.run(
        [*SSLCTL, "sandbox", "demo"],
        env={**_environment(tmp_path), "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 8
    assert "apt-get install pebble" in result.stderr
    assert list(tmp_path.iterdir()) == []
