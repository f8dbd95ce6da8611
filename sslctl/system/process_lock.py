"""Proof that a process lives: a kernel lock on a file of its own, which ends with the process however it ends.

The lock belongs to an open file description (fcntl(2), F_OFD_SETLK), so other processes see it whatever their PID namespace,
host name or clock is. A file becomes visible under its name only after it is locked: a visible file that is not locked
therefore belongs to a process that has ended.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import struct
import threading
from contextlib import suppress
from pathlib import Path

from sslctl.errors import StateError
from sslctl.system.limits import explain, no_lock

# Linux, include/uapi/asm-generic/fcntl.h; Python 3.11 does not name them on every platform.
_GET, _SET = 36, 37
# struct flock: type, whence, start, length (0: to the end of the file), process (0 for these locks).
_FLOCK = "hhqqi4x"
_NEW = ".new-"
_MOST_CLEANED = 64


class ProcessLock:
    """The locked file of this process in a folder. Its `id` is the name of the file; get one with `hold`."""

    def __init__(self, folder: Path) -> None:
        self.id = secrets.token_hex(8)
        self._path = folder / self.id
        self._descriptor = _make(folder, self.id)
        self.holders = 0

    def end(self) -> None:
        """Remove the file and release the lock."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
        self.forget()

    def forget(self) -> None:
        """Close the descriptor. In a forked child this leaves the lock to the parent; unlocking would take it away."""
        with suppress(OSError):
            os.close(self._descriptor)


_held: dict[Path, ProcessLock] = {}
_guard = threading.Lock()


def hold(folder: Path) -> ProcessLock:
    """Return the lock of this process in `folder`; make it, and remove files of ended processes, if there is none yet.

    Call `release` once for each call. Raise `StateError` if the file cannot be made or locked, `MachineLimit` if the machine
    does not allow it.
    """
    folder = folder.absolute()
    with _guard:
        lock = _held.get(folder)
        if lock is None:
            lock = _held[folder] = _begin(folder)
        lock.holders += 1
        return lock


def _begin(folder: Path, tries: int = 100) -> ProcessLock:
    try:
        # Not `exist_ok`: that raises if the folder is removed at the same time.
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        remove_dead(folder)
        return ProcessLock(folder)
    except OSError as error:
        # Another process that ended may have removed the empty folder in between.
        if isinstance(error, FileNotFoundError) and folder.parent.is_dir() and tries:
            return _begin(folder, tries - 1)
        limit = explain(error) or no_lock(folder, error)
        if limit is not None:
            raise limit from error
        raise StateError(
            f"cannot lock a file in {folder}: {error.strerror}",
            hint="state.dir must be on a local disk with free space, and belong to the user who runs sslctl",
        ) from error


def release(folder: Path) -> None:
    """End one use of the lock that `hold` returned. The last one ends the lock."""
    folder = folder.absolute()
    with _guard:
        lock = _held.get(folder)
        if lock is None:
            return
        lock.holders -= 1
        if not lock.holders:
            del _held[folder]
            lock.end()
            # Fails unless it is empty.
            with suppress(OSError):
                folder.rmdir()


def is_alive(folder: Path, identity: str) -> bool | None:
    """Return whether the process with the lock `identity` in `folder` lives; None if the file cannot be examined."""
    if not identity.isalnum():
        return None
    try:
        return _is_locked(folder / identity)
    except FileNotFoundError:
        return False
    except OSError:
        return None


def is_known(folder: Path, identity: str) -> bool:
    """Return whether the process with the lock `identity` used `folder`, and its file was not removed since it ended."""
    return identity.isalnum() and (folder / identity).exists()


def count_alive(folder: Path) -> int:
    """Return how many other processes hold a lock in `folder`. Those that cannot be examined count as alive."""
    ours = _held.get(folder.absolute())
    try:
        names = [entry.name for entry in os.scandir(folder) if not entry.name.startswith(_NEW)]
    except OSError:
        return 0
    return sum(is_alive(folder, name) is not False for name in names if ours is None or name != ours.id)


def find_dead(folder: Path) -> list[str]:
    """Return the ids of up to 64 processes that ended and left their files in `folder`."""
    found = list[str]()
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for _, entry in zip(range(_MOST_CLEANED), entries, strict=False):
            with suppress(OSError):
                if not _is_locked(Path(entry.path)):
                    found.append(entry.name)
    return found


def remove_dead(folder: Path) -> None:
    """Remove up to 64 files of ended processes. Safe at any time, in several processes at once."""
    for name in find_dead(folder):
        with suppress(OSError):
            (folder / name).unlink()


def leave_file(folder: Path, identity: str) -> None:
    """Make the file of the process with the lock `identity` again, unlocked: by that, others know that it has ended."""
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        os.close(os.open(folder / identity, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))


def _make(folder: Path, name: str) -> int:
    """Make the file `name`, locked, and return its descriptor."""
    new, flags = folder / f"{_NEW}{name}", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        descriptor = os.open(new, flags, 0o600)
        try:
            fcntl.fcntl(descriptor, _SET, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
            new.rename(folder / name)
        except FileNotFoundError:
            # Another process that cleans up removed it before it was locked.
            os.close(descriptor)
        except BaseException:
            os.close(descriptor)
            new.unlink(missing_ok=True)
            raise
        else:
            return descriptor


def _is_locked(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, *_ = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, _GET, asked))
        return bool(kind != fcntl.F_UNLCK)
    finally:
        os.close(descriptor)


def _forget_all() -> None:
    """Leave the locks of the parent to it: a child that outlives it must not keep it alive."""
    global _guard  # noqa: PLW0603 - another thread of the parent may hold it
    _guard = threading.Lock()
    for lock in _held.values():
        lock.forget()
    _held.clear()


os.register_at_fork(after_in_child=_forget_all)
