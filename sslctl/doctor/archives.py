"""Check of the archives of old history: the database has no copy of what is in them."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from sslctl.doctor import Check, ok, warn
from sslctl.rules.history_seal import Seal
from sslctl.text import clean

ARCHIVES = "history archives"
_RESTORE = "put it back from its backup, because the database has no copy of what is in it; `sslctl audit verify --archive DIR` compares it"
_MOVED = f"{_RESTORE}; if the archives are kept elsewhere, history.archive_dir names that folder"


def archives(seals: Sequence[Seal], folder: Path) -> Iterator[Check]:
    """Check that each archive that `seals` name is in `folder` with its size. None is read: that is what `audit verify` does."""
    try:
        found = {seal.file: _find_size(folder / seal.file) for seal in seals}
    except OSError as error:
        what = f"it is not known whether they are in {clean(folder, 4096)}: {clean(error.strerror or error)}"
        yield warn(ARCHIVES, what, "run `sslctl doctor` as the user who prunes the history")
        return
    missing = [seal.file for seal in seals if found[seal.file] is None]
    changed = [seal for seal in seals if found[seal.file] not in (None, seal.size)]
    if missing:
        yield warn(ARCHIVES, f"{_some(missing, seals)} missing in {clean(folder, 4096)}", _MOVED)
    if changed:
        first = changed[0]
        sizes = f"{first.file} has {found[first.file]:,} bytes, and had {first.size:,}"
        yield warn(ARCHIVES, f"{_some([each.file for each in changed], seals)} changed: {sizes}", _RESTORE)
    if seals and not missing and not changed:
        sizes = f"{sum(seal.size for seal in seals):,} bytes"
        yield ok(ARCHIVES, f"all {len(seals)} are in {clean(folder, 4096)}, {sizes}")


def _some(files: Sequence[str], seals: Sequence[Seal]) -> str:
    are = "is" if len(files) == 1 else "are"
    return f"{len(files)} of {len(seals)}, {clean(files[0])} first, {are}"


def _find_size(path: Path) -> int | None:
    """Return the size of a regular file, None if there is none. Raise `OSError` if that cannot be known."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
