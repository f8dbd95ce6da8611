"""The folder of the state: of its files, and of its database if that is no server's."""

from __future__ import annotations

import os
from pathlib import Path

from sslctl.errors import StateError
from sslctl.system.files import sync_folder
from sslctl.system.ownership import can_others_change, user_name


def make_folder(folder: Path) -> None:
    """Create `folder` and its missing parents durably: they must survive a power cut."""
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for place in made:
        sync_folder(place.parent)


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
