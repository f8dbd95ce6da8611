"""Claims: leases with an owner and a deadline.

The owner is a process of a host. Its start time distinguishes it from a later process with the same number.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from sslctl.store.sql.connection import Run
from sslctl.store.sql.part import SqlPart
from sslctl.store.sql.rows import time_of
from sslctl.text import instant

_ENDED = ("Z", "X")
_TAKE = """INSERT INTO lease (name, owner, until) VALUES (?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until"""


class SqlClaims(SqlPart):
    """The store's `Claims`."""

    def claim(self, names: Iterable[str], duration: timedelta) -> set[str]:
        with self._database.transaction() as run:
            now = self._clock()
            return {name for name in names if self._take(run, name, now, now + duration)}

    def _take(self, run: Run, name: str, now: datetime, until: datetime) -> bool:
        """Claim `name` for this process; return False while another living process holds it."""
        row = run("SELECT owner, until FROM lease WHERE name = ?", (name,)).fetchone()
        if (
            row is not None
            and row["owner"] != self._owner
            and time_of(row["until"]) > now
            and not is_gone(row["owner"])
        ):
            return False
        run(_TAKE, (name, self._owner, instant(until)))
        return True

    def release(self, names: Iterable[str]) -> None:
        with self._database.transaction() as run:
            for name in names:
                run("DELETE FROM lease WHERE name = ? AND owner = ?", (name, self._owner))

    def is_claimed(self, name: str) -> bool:
        """Return whether a process that is not known to have ended claims `name`."""
        sql = "SELECT owner FROM lease WHERE name = ?"
        return any(
            not is_gone(owner) for owner in self._database.read(lambda row: str(row["owner"]), sql, (name,))
        )


def this_process() -> str:
    """Return this process as an owner of claims: host, process id and start time."""
    pid = os.getpid()
    return f"{socket.gethostname()}/{pid}/{_started(pid)}"


def is_gone(owner: str) -> bool:
    """Return whether `owner` is a process of this host that has ended. Processes of other hosts cannot be examined."""
    host, _, process = owner.rpartition("/")[0].rpartition("/")
    started = owner.rpartition("/")[2]
    if host != socket.gethostname():
        return False
    return not process.isdigit() or _started(int(process)) != started


def _started(pid: int) -> str:
    try:
        # Fields 3 and 22 of /proc/PID/stat (proc(5)), counted after the command's closing bracket; it may hold spaces.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # A zombie has ended, but stays until its parent waits for it.
        return "" if fields[0] in _ENDED else fields[19]
    except (OSError, IndexError):
        return ""
