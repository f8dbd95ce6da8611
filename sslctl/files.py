"""Reading files that somebody named, without waiting for ever or filling the memory."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_bounded(path: Path, most: int) -> bytes:
    """Give the content of `path`, of at most `most` bytes; it may be a pipe. Raises `OSError`, also for more."""
    with path.open("rb") as file:
        return _bounded(file.read(most + 1), path, most)


def read_regular(path: Path, most: int) -> tuple[bytes, os.stat_result]:
    """Give the content and the state of the regular file `path`, of at most `most` bytes.

    A pipe or a device would make a run from cron wait for ever. Raises `OSError`, also for such a file and for more.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return _bounded(file.read(most + 1), path, most), state


def _bounded(content: bytes, path: Path, most: int) -> bytes:
    if len(content) > most:
        raise OSError(errno.EFBIG, f"larger than {most} bytes", str(path))
    return content
