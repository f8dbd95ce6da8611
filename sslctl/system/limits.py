"""Limits of the machine and of the process, as errors that an operator can solve: tasks, memory, open files, locks."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
from collections.abc import Iterator
from pathlib import Path

from sslctl.errors import MachineLimit

_NO_TASK = "can't start new thread"
# What the dynamic linker, the C library and OpenSSL report.
_NO_MEMORY = (
    "cannot allocate memory",
    "failed to map",
    "cannot map",
    "memoryerror",
    "malloc fail",
    "malloc_fail",
)
_NO_FILE = "too many open files"
# Address space, not memory that is used: a stack takes 8 MiB, and the C library reserves 64 MiB for a thread that allocates.
_THREAD_BYTES = 72 << 20
_RESERVE_BYTES = 48 << 20
# Connections to C4 and to DNS, the channel and the error output of a job. The rest is for the database and for what is shared.
_THREAD_FILES = 4
_RESERVE_FILES = 12
_NO_LOCK = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})


def explain(error: BaseException) -> MachineLimit | None:
    """Return the limit that caused `error`, itself or through the errors behind it; None if it has another cause."""
    for each in _chain(error):
        found = each if isinstance(each, MachineLimit) else _explain_one(each)
        if found is not None:
            return found
    return None


def explain_line(line: str) -> MachineLimit | None:
    """Return the limit that the last line of a process which ended is about; None if it is about something else."""
    found = line.lower()
    if _NO_TASK in found or "resource temporarily unavailable" in found:
        return no_task()
    if any(each in found for each in _NO_MEMORY):
        return no_memory()
    return no_file() if _NO_FILE in found else None


def no_task() -> MachineLimit:
    """Return the error for a process or thread that the system did not start."""
    return MachineLimit(
        "the system starts no further process or thread for sslctl",
        hint="end other processes, or raise the limit: `ulimit -u`, TasksMax= of the unit, pids.max of the container"
        + (f", `ulimit -v` (now {_kibibytes()} KiB)" if _kibibytes() else ""),
    )


def no_memory() -> MachineLimit:
    """Return the error for memory that the system did not grant."""
    if limit := _kibibytes():
        return MachineLimit(
            "sslctl gets no more memory", hint=f"`ulimit -v` allows {limit} KiB; raise it", is_lasting=True
        )
    return MachineLimit(
        "sslctl gets no more memory",
        hint="free memory, or raise MemoryMax= of the unit or the limit of the container, and run the command again",
    )


def require_memory() -> None:
    """Raise `MachineLimit` if `ulimit -v` leaves too little memory for work: OpenSSL and Rust end a process that gets none."""
    spare = _spare_memory()
    if spare is not None and spare < _RESERVE_BYTES:
        raise no_memory()


def limit_threads(count: int) -> tuple[int, MachineLimit | None]:
    """Return how many of `count` threads have enough memory and open files for their work, and the limit if not all have."""
    memory, files = _spare_memory(), _spare_files()
    by_memory = count if memory is None else max(0, (memory - _RESERVE_BYTES) // _THREAD_BYTES)
    by_files = count if files is None else max(0, (files - _RESERVE_FILES) // _THREAD_FILES)
    fewest = min(count, by_memory, by_files)
    if fewest == count:
        return count, None
    return fewest, no_memory() if by_memory == fewest else no_file()


def no_file() -> MachineLimit:
    """Return the error for a file or connection that this process may not open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MachineLimit(
        "sslctl may open no further file or connection",
        hint=f"`ulimit -n` allows {soft}; raise it, up to {hard} without root, or LimitNOFILE= of the unit",
        is_lasting=True,
    )


def find_file_limit() -> MachineLimit | None:
    """Return the limit because of which this process may open no further file now; None if it may."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return _explain_errno(error.errno)
    return None


def lock_limit(path: Path, reason: str) -> MachineLimit:
    """Return the error for the file `path`, whose file system has no locks."""
    return MachineLimit(
        f"cannot lock {path}: {reason}",
        hint="state.dir must be on a file system with locks, best on a local disk; on NFS, run its lock service",
        is_lasting=True,
    )


def no_lock(path: Path, error: OSError) -> MachineLimit | None:
    """Return the error for the file `path` if its file system has no locks; None if `error` has another cause."""
    return lock_limit(path, error.strerror or "") if error.errno in _NO_LOCK else None


def require_locks(path: Path) -> None:
    """Raise `MachineLimit` if files in the folder of `path` cannot be locked. The file `path` is made and removed."""
    try:
        with path.open("wb") as file:
            path.unlink()
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        limit = no_lock(path.parent, error)
        if limit is not None:
            raise limit from error


def _chain(error: BaseException) -> Iterator[BaseException]:
    known = set[int]()
    each: BaseException | None = error
    while each is not None and id(each) not in known:
        known.add(id(each))
        yield each
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)


def _explain_one(error: BaseException) -> MachineLimit | None:
    if isinstance(error, MemoryError):
        return no_memory()
    # Errors of OpenSSL, too, which have an errno of their own. A subclass of the others may be about anything.
    if type(error) in (RuntimeError, ImportError) or "malloc" in str(error).lower():
        return explain_line(str(error))
    return _explain_errno(error.errno) if isinstance(error, OSError) else None


def _explain_errno(number: int | None) -> MachineLimit | None:
    if number == errno.EAGAIN:
        return no_task()
    if number == errno.ENOMEM:
        return no_memory()
    if number == errno.EMFILE:
        return no_file()
    if number == errno.ENFILE:
        return MachineLimit(
            "the system opens no further file",
            hint="too many files are open on this machine; try again later",
        )
    return None


def _spare_memory() -> int | None:
    """Return how many bytes of address space are left below the limit, None if there is none or /proc is missing."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return None
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None
    return limit - pages * resource.getpagesize()


def _spare_files() -> int | None:
    """Return how many more files this process may open, None if there is no limit or /proc is missing."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return None
    try:
        return limit - sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        return None


def _kibibytes() -> int:
    """Return the limit of the address space, 0 if there is none."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return 0 if limit == resource.RLIM_INFINITY else limit >> 10
