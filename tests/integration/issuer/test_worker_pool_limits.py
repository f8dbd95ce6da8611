"""The pool of certbot jobs, where the system starts fewer processes than it may have."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.support import ROOT, environment

# Starts two jobs at once, the second in a thread, ends the first after a while, and prints how each ended.
SCRIPT = """
import os, threading, time
from sslctl.errors import MachineLimit
from sslctl.issuer.certbot.worker_pool import WorkerPool

pool = WorkerPool(2, environment=dict(os.environ), deadline_seconds=60)
first_ended = False

def run(name, seconds):
    global first_ended
    try:
        with pool.job() as channel:
            print(name, "began", "alone" if first_ended else "", flush=True)
            job = {"do": "unknown", "directory_url": "https://ca.test", "deadline_seconds": 60, "scratch": "/tmp"}
            time.sleep(seconds)
            channel.send(job)
            print(name, [list(message) for message in channel], flush=True)
            # Said before the job leaves the pool: after that, the other one may begin at any moment.
            first_ended = True
    except MachineLimit as error:
        print(name, error.message, flush=True)

thread = threading.Thread(target=run, args=("second", 0))
timer = threading.Timer(1, thread.start)
timer.start()
run("first", 3)
timer.join()
thread.join()
pool.close()
"""

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


def outcome(when: str) -> list[str]:
    """Run the script while those forks of the fork server fail that strace counts as `when`."""
    strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=clone,fork"]
    ended = subprocess.run(
        [*strace, "-e", f"inject=clone,fork:error=EAGAIN:when={when}", sys.executable, "-c", SCRIPT],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return sorted(ended.stdout.splitlines())


def test_job_that_was_not_forked_waits_for_one_that_runs() -> None:
    assert outcome("2") == [
        "first [['result', 'nonces', 'free']]", "first began ", "second [['result', 'nonces', 'free']]", "second began alone",
    ]  # fmt: skip


def test_job_is_refused_if_none_can_be_forked() -> None:
    limit = "the system starts no further process or thread for sslctl"
    assert outcome("2+") == ["first [['result', 'nonces', 'free']]", "first began ", f"second {limit}"]
