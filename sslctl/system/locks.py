"""Kernel locks. They end with the process that holds them, so none is ever stale."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sslctl.errors import StateError


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold an exclusive lock on the file `path` for the block. Yield False if another process holds the lock.

    The file is created if it is missing, and is never removed: a second process could otherwise lock a new file of that
    name. Raise `StateError` if the file cannot be opened.
    """
    try:
        # O_CLOEXEC: a child that outlives this process must not keep the lock.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(f"cannot open the lock {path}: {error.strerror}") from error
    try:
        yield _take(descriptor)
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
