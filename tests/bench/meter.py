"""Commands to measure, and what they cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

_SCRIPT = Path(__file__).with_name("metering_child.py")
_LAST_WORDS = 2000


class Failed(Exception):  # a bench that measures failures would measure nothing
    """A command did not end as it should."""


@dataclass(frozen=True, slots=True)
class Job:
    """Commands that run one after another in `folder`, with exactly `environment`.

    With `until_pattern` a command is ended as soon as `until_count` files of that pattern are there, below `folder`.
    """

    commands: Sequence[Sequence[str]]
    folder: str
    environment: Mapping[str, str]
    output: str = os.devnull
    log: str = os.devnull
    sample_seconds: float = 0
    timeout_seconds: float = 1800
    until_pattern: str = ""
    until_count: int = 0


@dataclass(frozen=True, slots=True)
class Cost:
    """What the commands of a job took. Sizes in bytes.

    `walls` and `codes` are each command's. CPU time is user and system, of all descendants. `largest_rss` is that of
    the largest single process, `peak_pss` the largest sum over the tree at one moment, 0 where it was not sampled.
    """

    walls: list[float] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    cpu_seconds: float = 0
    largest_rss: int = 0
    peak_pss: int = 0
    most_processes: int = 0
    left_behind: int = 0

    @property
    def wall(self) -> float:
        """All commands together, in seconds."""
        return sum(self.walls)


def run(job: Job, *, accept: Sequence[int] = (0,)) -> Cost:
    """Run `job` and return its cost. Raise `Failed` for an exit code that is not in `accept`, or a process left behind."""
    metered = subprocess.Popen(
        [sys.executable, str(_SCRIPT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Ctrl-C reaches the bench alone; the commands end with the pipe.
        start_new_session=True,
    )
    assert metered.stdin is not None
    assert metered.stdout is not None
    with metered.stdin, metered.stdout:
        metered.stdin.write(json.dumps(asdict(job)) + "\n")
        metered.stdin.flush()
        try:
            answer = metered.stdout.readline()
        finally:
            metered.stdin.close()
            metered.wait()
    cost = Cost(**json.loads(answer)) if answer else Cost()
    if not answer or any(code not in accept for code in cost.codes) or cost.left_behind:
        said = Path(job.log).read_text(errors="replace")[-_LAST_WORDS:] if job.log != os.devnull else ""
        raise Failed(
            f"{job.commands[0]}: codes {cost.codes}, {cost.left_behind} left behind; it said: {said}"
        )
    return cost
