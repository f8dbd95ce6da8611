"""The folder of a sandbox: a temporary one, or one that is kept and used again."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sslctl.errors import StateError, TryLater
from sslctl.system.locks import locked

MARK = ".sslctl-sandbox"
"""The file that shows that a folder is a sandbox's. The running sandbox holds a lock on it."""


@dataclass(slots=True)
class SandboxFolder:
    """An absolute path. `is_new` if no sandbox has run in it; `has_started` is for the user to set."""

    path: Path
    is_kept: bool
    is_new: bool
    has_started: bool = False


@contextmanager
def open_folder(keep: Path | None) -> Iterator[SandboxFolder]:
    """Yield a temporary folder, which is deleted after the block, or `keep`, which is created if it is missing.

    What is made in a new `keep` is deleted if the sandbox has not started by the end of the block. Raise `StateError` if `keep` cannot
    be used or has files of something else, and `TryLater` if another sandbox runs in it.
    """
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="sslctl-sandbox-") as path:
            yield SandboxFolder(Path(path), is_kept=False, is_new=True)
        return
    keep = keep.absolute()
    made, is_new = _prepare(keep)
    with locked(keep / MARK) as is_ours:
        if not is_ours:
            raise TryLater(f"another sandbox runs in {keep}", hint="stop it, or name another folder")
        folder = SandboxFolder(keep, is_kept=True, is_new=is_new)
        try:
            yield folder
        finally:
            if is_new and not folder.has_started:
                _clear(keep)
                if made:
                    keep.rmdir()


def _prepare(keep: Path) -> tuple[bool, bool]:
    """Return whether the folder was created, and whether no sandbox has run in it. Raise `StateError`."""
    try:
        made = not keep.exists()
        if made:
            keep.mkdir(mode=0o700, parents=True)
        names = {path.name for path in keep.iterdir()}
    except OSError as error:
        raise StateError(
            f"the sandbox cannot be kept in {keep}: {error.strerror}", hint="name a new or an empty folder"
        ) from error
    if names and MARK not in names:
        raise StateError(
            f"the sandbox cannot be kept in {keep}: it has files that are not a sandbox's",
            hint="name a new or an empty folder",
        )
    return made, not names


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
