"""Kernel locks. They end with the process that holds them, so none is ever stale."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sslctl.errors import StateError
from sslctl.system.limits import no_lock

_open: set[int] = set()


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold an exclusive lock on the file `path` for the block. Yield False if another process holds the lock.

    The file is created if it is missing, and is never removed: a second process could otherwise lock a new file of that
    name. Raise `StateError` if the file cannot be opened, `MachineLimit` if its file system has no locks.
    """
    try:
        # A child that outlives this process must not keep the lock: `_forget_all` and O_CLOEXEC.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(f"cannot open the lock {path}: {error.strerror}") from error
    _open.add(descriptor)
    try:
        yield _take(path, descriptor)
    finally:
        # Not in a forked child, where it is closed already.
        if descriptor in _open:
            _open.discard(descriptor)
            os.close(descriptor)


def _take(path: Path, descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        limit = no_lock(path, error)
        if limit is None:
            raise
        raise limit from error
    return True


def _forget_all() -> None:
    """Leave the locks to the parent. Closing does not unlock as long as the parent has the file open (flock(2))."""
    for descriptor in _open:
        os.close(descriptor)
    _open.clear()


os.register_at_fork(after_in_child=_forget_all)
