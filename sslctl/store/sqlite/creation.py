"""The creation of the database file, whole from its first moment on: it has the schema before it has its name."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sslctl.store.sqlite import schema
from sslctl.store.sqlite.presence import MISSING, find_gap, journal_of
from sslctl.system.files import publish


def make_database(path: Path) -> None:
    """Create the database `path` in its folder if there is no file.

    If the process is killed, there is no database at `path` rather than an empty one, which would count as damage.
    """
    if find_gap(path) != MISSING:
        return
    with temporary(path) as made:
        with closing(sqlite3.connect(made, isolation_level=None)) as connection:
            schema.prepare(connection, str(path), may_be_empty=True)
        sync(made)
        # If another process has made the database meanwhile, that one is used.
        with suppress(FileExistsError):
            publish(made, path, force=False)


@contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """Yield a new empty file, mode 0600, in the folder of `path`; delete it and its journal after the block."""
    # mkstemp makes the file with mode 0600.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    made = Path(name)
    try:
        yield made
    finally:
        for left in (made, journal_of(made)):
            left.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Write the content of `path` to the disk. Raise `OSError`."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
