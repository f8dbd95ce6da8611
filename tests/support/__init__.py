"""Helpers of several tests: the fakes, a CDN with real sockets, helpers for the store and for processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
"""The project's folder."""


def module_command(name: str) -> tuple[str, ...]:
    """Return the command that runs the module `name` of this project, such as `tests.bench`, from any folder."""
    return ("env", f"PYTHONPATH={ROOT}", sys.executable, "-m", name)


def environment() -> dict[str, str]:
    """Return the environment for a Python program that imports from this project."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def environment_without_settings(**more: str) -> dict[str, str]:
    """Return this process's environment without the settings of sslctl, and with `more`."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("SSLCTL_")}
    return {**plain, **more}


def memory_folder(needed_bytes: int = 0) -> Path | None:
    """Return a folder in memory that has `needed_bytes` free and can hold programs; None if there is none or TMPDIR is set."""
    memory = Path("/dev/shm")  # noqa: S108 - callers create folders of mode 0700 in it
    if "TMPDIR" in os.environ or not memory.is_dir() or not os.access(memory, os.W_OK):
        return None
    found = os.statvfs(memory)
    if found.f_flag & os.ST_NOEXEC or found.f_bavail * found.f_frsize < needed_bytes:
        return None
    return memory


@contextmanager
def fast_folder(prefix: str, otherwise: Path | None = None) -> Iterator[Path]:
    """Yield a new folder in memory; without such a place it is in `otherwise`, or in the default folder for temporary files.

    If TMPDIR is set, memory is not used either.
    """
    with TemporaryDirectory(prefix=f"sslctl-{prefix}-", dir=memory_folder() or otherwise) as folder:
        yield Path(folder)


def words(value: object) -> str | None:
    """Return the id of a parameter that is a list of words; None leaves other values to pytest."""
    return " ".join(map(str, value)) or "none" if isinstance(value, list) else None
