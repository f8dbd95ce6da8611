"""Locks of the kernel: they end with the process that holds them, however it ends, and leave nothing stale behind."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sslctl.errors import StateError


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold the lock on the file `path`, made where it is missing, for the block; False where somebody else holds it.

    The file stays: who removes it lets in a second one, which locks a new file of that name. Raises `StateError`.
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
