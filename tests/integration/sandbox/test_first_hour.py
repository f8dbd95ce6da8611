"""Every command of docs/first-hour.md runs in a sandbox, ends with the documented exit code, and prints what the page shows."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.documented import Step, blocks, matches
from tests.support.sandbox import SSLCTL, processes_of, sandbox_up

_PAGE = (ROOT / "docs" / "first-hour.md").read_text()
_BLOCKS = blocks(_PAGE)
_NOT_RUN, _BACKGROUND = "not run: ", "runs until the end"
_SEPARATOR = "\x01"


def _run(steps: list[Step], folder: Path, environment: dict[str, str]) -> list[tuple[int, str]]:
    """Run the commands in one shell in `folder`. Return the exit code and the output of each."""
    script = "\n".join(f"{step.command}\nprintf '\\001%s\\001' $?" for step in steps)
    result = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=180,
    )
    parts = result.stdout.split(_SEPARATOR)
    return [(int(code), output) for output, code in zip(parts[::2], parts[1::2], strict=False)]


@pytest.mark.pebble
def test_every_command_of_the_first_hour_runs_as_documented(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    program = clone / ".venv" / "bin" / "sslctl"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec {shlex.join(SSLCTL)} "$@"\n')
    program.chmod(0o755)
    steps = [step for block in _BLOCKS if not block.marker for step in block.steps]
    (background,) = [block for block in _BLOCKS if block.marker == _BACKGROUND]
    (start,) = background.steps
    relative, sandbox, up, *options = shlex.split(start.command)
    assert (clone / relative, sandbox, up) == (program, "sandbox", "up")
    (tmp_path / "temporary").mkdir()
    with sandbox_up(tmp_path / "temporary", *options, command=[str(program)]) as running:
        assert matches(start.output, running.line)
        results = _run(steps, clone, running.environment)
        running.stop(signal.SIGINT)
    assert len(results) == len(steps) > 15
    for step, (code, output) in zip(steps, results, strict=True):
        assert code == step.exit_code, f"{step.command}\n{output}"
        assert matches(step.output, output), f"{step.command}\n{output}"
    assert sorted(path.name for path in clone.iterdir()) == [".venv"]
    assert processes_of(tmp_path) == []


def test_every_block_that_is_not_run_has_a_reason() -> None:
    markers = [block.marker for block in _BLOCKS if block.marker]
    assert all(re.fullmatch(rf"{_NOT_RUN}\w.+|{_BACKGROUND}", marker) for marker in markers)
    assert len([marker for marker in markers if marker.startswith(_NOT_RUN)]) == 1


@pytest.mark.parametrize(
    ("shown", "printed", "expected"),
    [
        ("89 days left\n", "90 days left\n", True),
        ("A  B\n", "A      B   \n", True),
        ("…\nlast\n", "first\nsecond\nlast\n", True),
        ("added … ago\n", "added 1 second ago\n", True),
        ("", "", True),
        ("", "something\n", False),
        ("Success\n", "Failure\n", False),
        ("first\n", "first\nsecond\n", False),
        ("added … ago\n", "added\n ago\n", False),
    ],
)
def test_output_of_the_page_is_compared_without_numbers_and_widths(
    shown: str, printed: str, *, expected: bool
) -> None:
    assert matches(shown, printed) is expected
