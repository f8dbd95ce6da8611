"""Run commands one after another and measure them with all their descendants.

A process of its own: as the subreaper of its tree (prctl(2)) it also inherits what a command leaves behind, so that no
CPU time escapes; what the sampling costs is in nobody's account; and when its standard input ends, because whoever
measures is gone, it kills the tree. `meter.run` starts it, with a `meter.Job` as one line of JSON; it answers with
the fields of a `meter.Cost` as another.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_POLL_SECONDS = 0.02
# How long descendants may outlive their command before they count as left behind.
_GRACE_SECONDS = 3.0


def become_subreaper() -> None:
    """Become the parent of orphaned descendants. Raise `OSError` if that fails."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def descendants() -> list[int]:
    """Return the process ids below this one, without zombies."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                # Fields 3 and 4 of proc(5), after the command's closing bracket: state and parent.
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if state not in "ZX":
                    children.setdefault(int(parent), []).append(int(entry.name))
    found = [os.getpid()]
    for process in found:
        found += children.get(process, [])
    return found[1:]


def kill_tree() -> int:
    """Kill all descendants, including those forked meanwhile; return how many there were."""
    first = descendants()
    for _ in range(100):
        alive = descendants()
        if not alive:
            break
        for process in alive:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)
    return len(first)


class Sampler:
    """Samples the memory of the process tree every `seconds`; 0 is never."""

    def __init__(self, seconds: float) -> None:
        self.peak_pss = 0
        self.most_processes = 0
        self._seconds = seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        if seconds:
            self._thread.start()

    def stop(self) -> None:
        """Stop sampling."""
        self._ended.set()
        if self._seconds:
            self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(self._seconds):
            sizes = [_pss(process) for process in descendants()]
            self.peak_pss = max(self.peak_pss, sum(sizes))
            self.most_processes = max(self.most_processes, len(sizes))


def _pss(process: int) -> int:
    """Return the proportional set size in bytes: pages that several share count once in their sum."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Run the job's commands and return the cost."""
    sampler = Sampler(job["sample_seconds"])
    walls, codes = [], []
    deadline = threading.Timer(job["timeout_seconds"], kill_tree)
    deadline.daemon = True
    deadline.start()
    for command in job["commands"]:
        began = time.perf_counter()
        ended_at, code = _run_one(command, job)
        walls.append(ended_at - began)
        codes.append(code)
    left = _reap()
    deadline.cancel()
    sampler.stop()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "walls": walls,
        "codes": codes,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "largest_rss": used.ru_maxrss * 1024,
        "peak_pss": sampler.peak_pss,
        "most_processes": sampler.most_processes,
        "left_behind": left,
    }


def _run_one(command: list[str], job: dict[str, Any]) -> tuple[float, int]:
    """Run `command` to its end, or until the files that the job waits for exist; return that moment and the exit code."""
    with Path(job["output"]).open("ab") as output, Path(job["log"]).open("ab") as log:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=log,
            env=job["environment"],
            cwd=job["folder"],
        )
    if not job["until_pattern"]:
        code = _wait(child.pid)
        return time.perf_counter(), code
    while len(list(Path(job["folder"]).glob(job["until_pattern"]))) < job["until_count"]:
        ended, status = os.waitpid(child.pid, os.WNOHANG)
        if ended:
            child.returncode = os.waitstatus_to_exitcode(status)
            return time.perf_counter(), child.returncode or 1
        time.sleep(_POLL_SECONDS)
    reached_at = time.perf_counter()
    child.terminate()
    child.wait()
    return reached_at, 0


def _wait(process: int) -> int:
    """Wait for `process`, also reaping orphans; return its exit code, negative for a signal."""
    while True:
        ended, status = os.wait()
        if ended == process:
            return os.waitstatus_to_exitcode(status)


def _reap() -> int:
    """Reap the processes that the commands left behind; return how many had to be killed."""
    end = time.monotonic() + _GRACE_SECONDS
    while _has_children():
        if time.monotonic() > end:
            return kill_tree()
        time.sleep(_POLL_SECONDS)
    return 0


def _has_children() -> bool:
    """Reap the children that have ended; return whether others are running."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _end_when_abandoned() -> None:
    sys.stdin.read()
    kill_tree()
    os._exit(1)


def main() -> None:
    """Read the job, run it, write the cost."""
    job = json.loads(sys.stdin.readline())
    become_subreaper()
    threading.Thread(target=_end_when_abandoned, daemon=True).start()
    print(json.dumps(run(job)), flush=True)


if __name__ == "__main__":
    main()
