"""Which processes hold the kernel's locks on a file."""

from __future__ import annotations

import os
from pathlib import Path

from sslctl.text import clean

_LOCKS = Path("/proc/locks")
_MOST = 3


def describe_holders(path: Path, bytes_: range) -> str:
    """Return which other processes hold POSIX locks on `bytes_` of the file `path`, in words.

    The file is not opened, because closing it would release this process's own locks (fcntl(2)). Where the kernel does not
    show the processes, as those of another PID namespace, the result is "another process".
    """
    pids = _holders(path, bytes_) - {os.getpid()}
    shown = [_describe(pid) for pid in sorted(pids)[:_MOST]]
    if len(pids) > _MOST:
        shown.append(f"{len(pids) - _MOST} more")
    return " and ".join(shown) or "another process"


def _holders(path: Path, bytes_: range) -> set[int]:
    """Read /proc/locks (proc(5)): number, kind, mode, access, process, device:inode, first byte, last byte or EOF."""
    try:
        inode = str(path.stat().st_ino)
        lines = _LOCKS.read_text().splitlines()
    except OSError:
        return set()
    found = set()
    for line in lines:
        fields = line.split()
        if len(fields) != len(["number", "kind", "mode", "access", "process", "inode", "first", "last"]):
            continue  # waits for a lock
        _, kind, _, _, pid, place, first, _ = fields
        if kind == "POSIX" and place.rpartition(":")[2] == inode and int(first) in bytes_ and int(pid) > 0:
            found.add(int(pid))
    return found


def _describe(pid: int) -> str:
    try:
        name = clean(Path(f"/proc/{pid}/comm").read_text().strip())
    except OSError:
        return f"process {pid}"
    return f"process {pid} ({name})"
