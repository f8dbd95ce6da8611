"""Claims with an owner and a deadline.

An owner is a process of a host, told apart from a later one with the same number by its start time.
"""

from __future__ import annotations

import os
import socket
from datetime import datetime
from pathlib import Path

from sslctl.store.sql.connection import Run
from sslctl.store.sql.rows import time_of
from sslctl.text import instant

_ENDED = ("Z", "X")


def take(run: Run, name: str, owner: str, now: datetime, until: datetime) -> bool:
    """Claim `name` for `owner` until then; False while another living owner holds it."""
    row = run("SELECT owner, until FROM lease WHERE name = ?", (name,)).fetchone()
    if (
        row is not None
        and row["owner"] != owner
        and time_of(row["until"]) > now
        and not is_gone(row["owner"])
    ):
        return False
    run("INSERT OR REPLACE INTO lease (name, owner, until) VALUES (?, ?, ?)", (name, owner, instant(until)))
    return True


def give_up(run: Run, name: str, owner: str) -> None:
    """Release `name` if `owner` holds it."""
    run("DELETE FROM lease WHERE name = ? AND owner = ?", (name, owner))


def this_process() -> str:
    """Name this process as the owner of claims: host, process id and start time."""
    pid = os.getpid()
    return f"{socket.gethostname()}/{pid}/{_started(pid)}"


def is_gone(owner: str) -> bool:
    """Say whether `owner` was a process of this host that has ended; of another host nothing can be said."""
    host, _, process = owner.rpartition("/")[0].rpartition("/")
    started = owner.rpartition("/")[2]
    if host != socket.gethostname():
        return False
    return not process.isdigit() or _started(int(process)) != started


def _started(pid: int) -> str:
    try:
        # Fields 3 and 22 of /proc/PID/stat (proc(5)), counted after the command's closing bracket, which may hold spaces.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # A zombie has ended; that nobody has waited for it may last as long as its parent.
        return "" if fields[0] in _ENDED else fields[19]
    except (OSError, IndexError):
        return ""
