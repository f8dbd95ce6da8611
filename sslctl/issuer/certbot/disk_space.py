"""Checks of disk space before an order is placed: a full disk must not cost an order at the CA."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sslctl.issuer import IssueError
from sslctl.rules.reasons import Code

# Logs, certificates and database of one night: with less, a tick would fill the disk.
MIN_FREE_BYTES = 64 << 20
MIN_FREE_FILES = 1000
# More than a certificate with its chain and the log of its order.
TEST_FILE_BYTES = 64 << 10
# A file system needs up to a millisecond to make a file where many were removed a moment ago.
_TRIED_SECONDS = 1.0


def require_disk_space(folder: Path) -> None:
    """Raise `IssueError` if the file system of `folder` is nearly full."""
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if free < MIN_FREE_BYTES:
        found = f"{free >> 20} MiB are free in {folder}; {MIN_FREE_BYTES >> 20} MiB are needed"
        raise IssueError(Code.ISSUER_FAILED, f"no order was placed, because the disk is nearly full: {found}")
    # Some file systems do not report a number of files.
    if disk.f_files and disk.f_favail < MIN_FREE_FILES:
        found = f"{disk.f_favail} more files can be made in {folder}; {MIN_FREE_FILES} are needed"
        raise IssueError(Code.ISSUER_FAILED, f"no order was placed, because the disk is nearly full: {found}")


class WriteTrials:
    """Trials whether files can be written, in each folder once a second at most. Safe to use from several threads."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._known_until: dict[Path, float] = {}

    def require_writable(self, folder: Path, size: int = TEST_FILE_BYTES) -> None:
        """Do what `require_writable` does, unless that succeeded within the last second. Raise `OSError` if it fails."""
        if self._monotonic() >= self._known_until.get(folder, 0.0):
            require_writable(folder, size)
            self._known_until[folder] = self._monotonic() + _TRIED_SECONDS


def require_writable(folder: Path, size: int = TEST_FILE_BYTES) -> None:
    """Write `size` bytes to a temporary file in `folder`. Raise `OSError` if that fails.

    The file has no name if the file system supports that, so that a kill leaves nothing and no web server serves it. There
    is no fsync: the write allocates the space, and the commit of the order has just shown that the disk works.
    """
    with tempfile.TemporaryFile(dir=folder, buffering=0) as probe:
        left = size
        while left:
            left -= probe.write(bytes(left))
