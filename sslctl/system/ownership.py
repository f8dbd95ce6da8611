"""Who can change a file: only root and the user who runs sslctl may, as ssh demands of its files (sshd_config(5), StrictModes)."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Intruder:
    """A place that another user can change: `problem` says why, `cure` is the command that ends it. Neither is cleaned."""

    problem: str
    cure: str


def find_intruder(path: Path) -> Intruder | None:
    """Return the first place from `path` up to the root directory that another user can change; None if there is none.

    A folder with the sticky bit, such as /tmp, may be writable by all: nobody can rename or delete what others own in it
    (inode(7)). If `path` leads through symbolic links, the folders of the links and those of their targets are examined.
    Raise `OSError` if a place cannot be examined.
    """
    for place in dict.fromkeys(_places(path)):
        found = place.lstat()
        if stat.S_ISLNK(found.st_mode):
            # A link has no mode of its own; the folder that holds it decides who can replace it.
            continue
        intruder = judge(place, found)
        if intruder is not None:
            return intruder
    return None


def judge(place: Path, found: os.stat_result) -> Intruder | None:
    """Return how another user can change `place`, whose state is `found`; None if only root and this user can."""
    user = os.geteuid()
    if found.st_uid not in (0, user):
        return Intruder(
            f"{place} belongs to another user (uid {found.st_uid})", f"chown {user or 'root'} {place}"
        )
    is_sticky_folder = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
    if found.st_mode & _OTHERS_WRITE and not is_sticky_folder:
        mode = stat.S_IMODE(found.st_mode)
        return Intruder(f"other users can change {place} (mode {mode:04o})", f"chmod go-w {place}")
    return None


def _places(path: Path) -> Iterator[Path]:
    for start in (path.resolve(), path.absolute()):
        yield start
        yield from start.parents
