"""Who can change a file: only root and the user who runs sslctl may, as ssh demands of its files (sshd_config(5), StrictModes)."""

from __future__ import annotations

import os
import pwd
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
        if can_others_change(found, is_above=stat.S_ISDIR(found.st_mode)):
            return _describe(place, found)
    return None


def user_name(uid: int) -> str:
    """Return the name of a user; `#UID`, which sudo understands too, if it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def can_others_change(found: os.stat_result, *owners: int, is_above: bool = False) -> bool:
    """Return whether a user other than root, ours and `owners` (uids) can change the file or folder whose state is `found`.

    With `is_above` it is a folder above the one that matters: there the sticky bit keeps others from replacing what is in it
    (inode(7)). In the folder itself they could still create files, such as a journal for the database.
    """
    is_foreign = found.st_uid not in (0, os.geteuid(), *owners)
    is_sticky = is_above and bool(found.st_mode & stat.S_ISVTX)
    return is_foreign or bool(found.st_mode & _OTHERS_WRITE and not is_sticky)


def _describe(place: Path, found: os.stat_result) -> Intruder:
    user = os.geteuid()
    if found.st_uid not in (0, user):
        name = user_name(found.st_uid)
        # Root on the files of a service must not take them from it.
        cure = f"sudo -u {name} sslctl …" if user == 0 else f"chown {user} {place}"
        return Intruder(f"{place} belongs to the user {name}", cure)
    mode = stat.S_IMODE(found.st_mode)
    return Intruder(f"other users can change {place} (mode {mode:04o})", f"chmod go-w {place}")


def _places(path: Path) -> Iterator[Path]:
    for start in (path.resolve(), path.absolute()):
        yield start
        yield from start.parents
