"""`make bench` works: every part with tiny numbers, without checking speed; and it leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support import environment_without_settings, module_command
from tests.support.processes import with_default_signals

BENCH = [*module_command("tests.bench"), "--small"]
_PATIENCE_SECONDS = 240

pytestmark = pytest.mark.pebble


def environment(folder: Path) -> dict[str, str]:
    """Return an environment in which the bench makes everything below `folder`, which also marks its processes."""
    return environment_without_settings(TMPDIR=str(folder))


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of the processes that have `folder` in it or in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_text()
            described = line + (process / "environ").read_text(errors="replace")
        except OSError:
            continue
        if str(folder) in described and process.name != str(os.getpid()):
            found.append(line.replace("\0", " "))
    return found


@pytest.mark.parametrize(
    "part", ["issuance", "scale", "earlier", "million", "ticks", "history", "years", "page", "hosts"]
)
def test_part_prints_and_writes_its_figures(tmp_path: Path, part: str) -> None:
    scratch, out = tmp_path / "scratch", tmp_path / "bench.json"
    scratch.mkdir()
    run = subprocess.run(
        [*BENCH, part, "--out", str(out)],
        env=environment(scratch),
        capture_output=True,
        text=True,
        timeout=_PATIENCE_SECONDS,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(out.read_text())
    assert found["machine"]["certbot"]
    assert list(found["parts"]) == [part]
    rows = found["parts"][part]["rows"]
    # A clone without history does not have the earlier commit.
    measured = [row for row in rows if part != "earlier" or "is not in this clone" not in row["result"]]
    assert all(row["result"] and row["runs"] and min(row["runs"]) > 0 for row in measured)
    for table in found["parts"][part]["tables"]:
        assert table["title"] in run.stdout
        assert {len(row) for row in table["rows"]} == {len(table["head"])}
    assert list(scratch.iterdir()) == []
    assert processes_of(scratch) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_bench_leaves_no_process_and_no_file(tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        with_default_signals(*BENCH, "issuance", "--out", str(tmp_path / "bench.json")),
        env=environment(tmp_path),
        stderr=subprocess.PIPE,
    ) as bench:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not any("certonly" in line for line in processes_of(tmp_path)):
            assert bench.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert any(line.startswith("pebble ") for line in processes_of(tmp_path))
        bench.send_signal(number)
        assert bench.wait(_PATIENCE_SECONDS) == 128 + signal.SIGINT
    while processes_of(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert list(tmp_path.iterdir()) == []


def test_unknown_part_is_refused_with_exit_code_2() -> None:
    run = subprocess.run([*BENCH, "nonsense"], capture_output=True, text=True, check=False)
    assert (run.returncode, "there is no part nonsense" in run.stderr) == (2, True)
