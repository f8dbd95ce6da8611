"""The creation of the database file, whole from its first moment on: it has the schema before it has its name."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sslctl.errors import StateError
from sslctl.store.sqlite import schema
from sslctl.store.sqlite.presence import MISSING, find_gap, journal_of
from sslctl.system.files import publish, sync_folder
from sslctl.system.ownership import can_others_change, user_name


def make_folder(folder: Path) -> None:
    """Create `folder` and its missing parents durably: they must survive a power cut."""
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for place in made:
        sync_folder(place.parent)


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


def require_ours(place: Path) -> None:
    """Raise `StateError` if another user could replace `place`."""
    if place.is_symlink():
        raise StateError(f"{place} is a symbolic link", hint="set state.dir to the real path")
    if not place.exists() or not can_others_change(found := place.stat()):
        return
    if found.st_uid not in (0, os.geteuid()):
        owner = user_name(found.st_uid)
        raise StateError(
            f"{place} belongs to the user {owner}, so other users than this one can change it",
            hint=f"run sslctl as its owner: sudo -u {owner} sslctl …",
        )
    raise StateError(f"other users can change {place}", hint=f"chmod go-w {place}")


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
