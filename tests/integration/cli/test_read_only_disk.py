"""The state on a disk that became read-only: what only reads goes on, and so does a download."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sslctl.errors import Exit
from tests.support.cdn import Cdn
from tests.support.command_line import PATIENCE_SECONDS, command, environment

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")

NAME = "shop.example.com"
# In a mount namespace of its own, which ends with the process.
READ_ONLY = (
    *("unshare", "--mount", "sh", "-c"),
    'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"',
)


def run_read_only(cdn: Cdn, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run sslctl in a process for which the state is on a read-only file system."""
    return subprocess.run(
        [*READ_ONLY, str(cdn.folder / "state"), *command(*arguments)],
        env=environment(cdn),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )


@pytest.fixture
def shop(cdn: Cdn) -> Cdn:
    """A CDN with one served domain."""
    cdn.add_domain(NAME)
    assert cdn.sslctl("add", NAME).exit_code == Exit.OK
    return cdn


def recorded(cdn: Cdn) -> int:
    events = cdn.sslctl("view", NAME, "--json").json["domain"]["events"]
    return [event["kind"] for event in events].count("key downloaded")


@pytest.mark.parametrize("arguments", [["list"], ["view", NAME]])
def test_command_that_only_reads_works_on_a_read_only_disk(shop: Cdn, arguments: list[str]) -> None:
    result = run_read_only(shop, *arguments)
    assert (result.returncode, result.stderr) == (Exit.OK, "")
    assert NAME in result.stdout


@pytest.mark.parametrize("options", [[], ["--format", "combined"], ["--json"]])
def test_download_from_a_read_only_disk_writes_the_files_and_prints_that_it_is_not_recorded(
    shop: Cdn, tmp_path: Path, options: list[str]
) -> None:
    out = tmp_path / "out"
    result = run_read_only(shop, "download", NAME, "-o", str(out), *options)
    assert result.returncode == Exit.OK
    assert (
        result.stderr
        == f"sslctl: warning: the download of version 1 of {NAME} is not recorded in the history, because the file "
        f"system of {shop.folder}/state is read-only\n"
    )
    assert any("PRIVATE KEY" in path.read_text() for path in out.iterdir())
    assert recorded(shop) == 0


def test_download_into_a_read_only_disk_is_refused(shop: Cdn) -> None:
    result = run_read_only(shop, "download", NAME, "-o", str(shop.folder / "state" / "out"))
    assert result.returncode == Exit.USAGE
    assert "cannot write to" in result.stderr


def test_download_that_cannot_be_recorded_for_another_reason_writes_nothing(
    shop: Cdn, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    limited = [
        "sh",
        "-c",
        'ulimit -f 0; trap "" XFSZ; exec "$@"',
        "sh",
        *command("download", NAME, "-o", str(out)),
    ]
    result = subprocess.run(
        limited, env=environment(shop), capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
    )
    assert result.returncode == Exit.UNUSABLE
    assert "is not recorded" not in result.stderr
    assert not out.exists()
    assert recorded(shop) == 0
