"""A process that holds keys never leaves a core dump."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

from sslctl.system import core_dumps
from tests.support import ROOT

_PR_GET_DUMPABLE = 3
_PATIENCE_SECONDS = 20


def core_limit(process: int) -> str:
    lines = Path(f"/proc/{process}/limits").read_text().splitlines()
    return next(line.split()[4] for line in lines if line.startswith("Max core file size"))


def allow_cores() -> None:
    most = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))


def test_aborted_command_leaves_no_core_dump(tmp_path: Path) -> None:
    # The command waits for names on standard input, which never come.
    process = subprocess.Popen(
        [sys.executable, "-m", "sslctl", "add", "--no-wait", "--from-file", "-"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SSLCTL_STATE_DIR": str(tmp_path / "s"),
        },
        stdin=subprocess.PIPE,
        preexec_fn=allow_cores,  # noqa: PLW1509 - pytest has no threads here
    )
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while core_limit(process.pid) != "0" and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGABRT)
    _, status = os.waitpid(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.stdin is not None
    process.stdin.close()
    assert process.returncode == -signal.SIGABRT
    assert not os.WCOREDUMP(status)
    assert list(tmp_path.iterdir()) == []


def test_forbid_makes_the_process_undumpable() -> None:
    """The limit does not apply to core dumps into a pipe (core(5))."""
    script = f"import ctypes; from {core_dumps.__name__} import forbid; forbid();"
    script += f"print(ctypes.CDLL(None).prctl({_PR_GET_DUMPABLE}, 0, 0, 0, 0))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout == "0\n"
    assert ctypes.CDLL(None).prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) == 1
