"""Reading files that somebody named, without waiting for ever or filling the memory; putting new ones in their places."""

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


def publish(temporary: Path, path: Path, *, force: bool) -> None:
    """Give the finished file `temporary` the name `path`, for good: whole or not at all.

    Without `force` a file that is there is left alone: `FileExistsError`. Raises `OSError`.
    """
    if force:
        temporary.replace(path)
    else:
        _name_new(temporary, path)
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def _name_new(temporary: Path, path: Path) -> None:
    try:
        # link() fails where the file exists, which rename() would not.
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:
        # Some file systems have no hard links.
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        temporary.rename(path)


def sync_folder(folder: Path) -> None:
    """Have it on the disk which files `folder` holds (fsync(2): a file's own sync does not do that). Raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _bounded(content: bytes, path: Path, most: int) -> bytes:
    if len(content) > most:
        raise OSError(errno.EFBIG, f"larger than {most} bytes", str(path))
    return content
