"""Whether an order's files will find room, looked into before the CA is asked: a full disk must not cost an order."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from sslctl.issuer import IssueError
from sslctl.rules.reasons import Code

# Logs, certificates and the database of a whole night: below this a tick would fill the disk on its way.
MIN_FREE_BYTES = 64 << 20
MIN_FREE_FILES = 1000
# More than a certificate with its chain and the log of its order.
TEST_FILE_BYTES = 64 << 10


def require_disk_space(folder: Path) -> None:
    """Raise `IssueError` where the disk of `folder` is nearly full."""
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if free < MIN_FREE_BYTES:
        found = f"{free >> 20} MiB are free in {folder}; {MIN_FREE_BYTES >> 20} MiB are wanted"
        raise IssueError(Code.ISSUER_FAILED, f"nothing is ordered on a disk that is nearly full: {found}")
    # Some file systems have no such number.
    if disk.f_files and disk.f_favail < MIN_FREE_FILES:
        found = f"{disk.f_favail} more files can be made in {folder}; {MIN_FREE_FILES} are wanted"
        raise IssueError(Code.ISSUER_FAILED, f"nothing is ordered on a disk that is nearly full: {found}")


def require_writable(folder: Path, size: int = TEST_FILE_BYTES) -> None:
    """Write `size` bytes into a file of `folder`, and let go of it. Raises `OSError`.

    The file has no name where the file system can do that, so that a kill leaves nothing, and no web server gives it
    out. It is not written through to the disk: room is set aside when it is written, and whether the disk works the
    commit of the order has shown a moment ago.
    """
    with tempfile.TemporaryFile(dir=folder, buffering=0) as probe:
        left = size
        while left:
            left -= probe.write(bytes(left))
