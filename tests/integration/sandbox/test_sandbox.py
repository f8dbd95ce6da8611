"""The sandbox: the demo runs to its end, `up` runs until it is stopped, and nothing is left behind."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.sandbox import SSLCTL, environment, processes_of, sandbox_up


@pytest.mark.pebble
def test_demo_runs_every_command_and_leaves_nothing_behind(tmp_path: Path) -> None:
    result = subprocess.run(
        [*SSLCTL, "sandbox", "demo"],
        env=environment(tmp_path),
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
    assert processes_of(tmp_path) == []


@pytest.mark.pebble
@pytest.mark.parametrize("mode", ["webroot", "standalone"])
def test_up_prints_the_environment_line_and_serves_other_commands(tmp_path: Path, mode: str) -> None:
    with sandbox_up(tmp_path, "--mode", mode) as sandbox:
        added = sandbox.run("add", "shop.example.test", "blog.example.test")
        mended = [
            sandbox.run(*arguments.split()).returncode
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
        sandbox.stop(signal.SIGINT)
    # The CNAME that leads elsewhere is still known while C4 does not answer.
    assert mended == [0, 75, 0, 0, 0, 0, 4]
    assert added.returncode == 5
    assert "shop.example.test: Success" in added.stdout
    assert "blog.example.test: Failure CNAME_ELSEWHERE" in added.stdout
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == []


def test_demo_explains_how_to_install_pebble_when_it_is_missing(tmp_path: Path) -> None:
    result = subprocess.run(
        [*SSLCTL, "sandbox", "demo"],
        env={**environment(tmp_path), "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 8
    assert "apt-get install pebble" in result.stderr
    assert list(tmp_path.iterdir()) == []
