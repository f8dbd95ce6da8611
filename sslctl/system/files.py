"""Bounded reads of named files, and the atomic publication of new ones."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def is_read_only(path: Path) -> bool:
    """Return whether the file system of `path` is mounted read-only. Raise `OSError`."""
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def read_bounded(path: Path, most: int) -> bytes:
    """Return the content of `path`, which may be a pipe. Raise `OSError`, also for more than `most` bytes."""
    with path.open("rb") as file:
        return _bounded(file.read(most + 1), path, most)


def read_regular(path: Path, most: int) -> tuple[bytes, os.stat_result]:
    """Return the content of the regular file `path`, and its `stat`.

    Raise `OSError`, also for more than `most` bytes, and for a pipe or a device: a run from cron would wait for it for ever.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return _bounded(file.read(most + 1), path, most), state


@contextmanager
def replacing(path: Path, *, force: bool = True, mode: int = 0o600) -> Iterator[BinaryIO]:
    """Yield a new file with `mode` that becomes `path` after the block, atomically and durably; nothing if the block raises.

    Raise as `publish` does, and `OSError` if the file cannot be made in the folder of `path`.
    """
    # mkstemp creates the file with mode 0600. A name of the longest length has no room for a prefix with all of it.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:50]}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        publish(temporary, path, force=force)
    finally:
        temporary.unlink(missing_ok=True)


def publish(temporary: Path, path: Path, *, force: bool) -> None:
    """Rename the finished file `temporary` to `path`, atomically and durably.

    Without `force`, raise `FileExistsError` if `path` exists. Raise `OSError` for other failures.
    """
    if force:
        temporary.replace(path)
    else:
        _name_new(temporary, path)
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def _name_new(temporary: Path, path: Path) -> None:
    try:
        # link() fails if the file exists; rename() would replace it.
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:
        # Some file systems have no hard links.
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        temporary.rename(path)


def sync_folder(folder: Path) -> None:
    """Write the entries of `folder` to the disk; fsync(2) of a file does not do that. Raise `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _bounded(content: bytes, path: Path, most: int) -> bytes:
    if len(content) > most:
        raise OSError(errno.EFBIG, f"larger than {most} bytes", str(path))
    return content
