"""Files below an open folder that may be in the hands of somebody else: read without following a symbolic link, and bounded."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NO_LINK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_IS_LINK = (errno.ENOTDIR, errno.EMLINK)


@contextmanager
def opened_root(folder: Path) -> Iterator[int]:
    """Yield the descriptor of `folder`, which a person named: it may be a symbolic link. Raise `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def opened(root: int, *parts: str) -> Iterator[int]:
    """Yield the descriptor of the folder `parts` below `root`, none of them a symbolic link. Raise `OSError` with the whole path."""
    descriptor = os.dup(root)
    try:
        for part in parts:
            below = _open(part, _NO_LINK | os.O_DIRECTORY, descriptor, "/".join(parts))
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def read(folder: int, name: str, most: int) -> bytes:
    """Return the content of the regular file `name` in `folder`.

    Raise `OSError`, also for a symbolic link, a pipe, a device, and more than `most` bytes.
    """
    descriptor = _open(name, _NO_LINK, folder, name)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", name)
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"larger than {most} bytes", name)
    return content


def read_link(folder: int, name: str) -> str:
    """Return the target of the symbolic link `name` in `folder`, empty if it is none. Raise `OSError` if there is nothing."""
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return ""
        raise OSError(error.errno, error.strerror, name) from error


def describe(error: OSError) -> str:
    """Return what `error` says about a file, in words."""
    return "it is a symbolic link" if error.errno == errno.ELOOP else str(error.strerror).lower()


def _open(name: str, flags: int, folder: int, shown: str) -> int:
    try:
        return os.open(name, flags, dir_fd=folder)
    except OSError as error:
        # With O_DIRECTORY the system says of a symbolic link that it is no folder.
        is_link = error.errno in _IS_LINK and _is_link(name, folder)
        number = errno.ELOOP if is_link else error.errno
        raise OSError(number, error.strerror, shown) from error


def _is_link(name: str, folder: int) -> bool:
    return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
