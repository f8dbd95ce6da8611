"""Downloaded files: private, written completely or not at all, and not overwritten unless asked."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sslctl.errors import BadInput
from sslctl.system.files import replacing


def check_absent(folder: Path, names: Iterable[str]) -> None:
    """Raise `BadInput` if `folder` contains one of the files `names`, even as a dangling link."""
    for name in names:
        if os.path.lexists(folder / name):
            raise BadInput(f"{folder / name} exists already", hint="--force overwrites it")


def write_new(
    folder: Path, files: dict[str, bytes], *, force: bool, require_private: bool = True
) -> list[Path]:
    """Write `files` (name to content) into `folder`, mode 0600, and return their paths.

    Each file appears completely or not at all. Raise `BadInput` if a file cannot be written, or exists and `force` is
    false; with `require_private`, also if the file system cannot keep the mode, before any content is written. The files before it are written then; call `check_absent` first.
    """
    paths = {name: folder / name for name in files}
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in files.items():
            _write(paths[name], content, force=force, require_private=require_private)
    except OSError as error:
        raise BadInput(f"cannot write to {folder}: {error.strerror}") from error
    return list(paths.values())


@contextmanager
def writing_one(file: Path, *, force: bool) -> Iterator[BinaryIO]:
    """Yield a new file that becomes `file`, mode 0600, completely or not at all.

    Raise `BadInput` if it cannot be written, if it is a device or a pipe, or if it exists and `force` is false. The last two are
    found before anything is written.
    """
    if not force:
        check_absent(file.parent, [file.name])
    try:
        if file.exists() and not file.is_file():
            # As root, the rename would replace /dev/null.
            raise BadInput(f"cannot write {file}: it is no regular file")
        with replacing(file, force=force) as opened:
            yield opened
    except FileExistsError as error:
        raise BadInput(f"{file} exists already", hint="--force overwrites it") from error
    except OSError as error:
        raise BadInput(f"cannot write {file}: {error.strerror}") from error


def is_private(state: os.stat_result) -> bool:
    """Return whether only the owner has access. Some file systems, such as exFAT and FAT, give every file one mode."""
    return not state.st_mode & 0o077


def require_kept_mode(state: os.stat_result, folder: Path) -> None:
    """Raise `BadInput` if `state`, of a file that was created with mode 0600 in `folder`, gives access to others."""
    if not is_private(state):
        raise BadInput(
            f"the file system of {folder} cannot keep the mode 0600 (files there have {stat.S_IMODE(state.st_mode):04o}), "
            "so other users could read the private key",
            hint="write into a folder on another file system, or use --format pkcs12, which is encrypted",
        )


def _write(path: Path, content: bytes, *, force: bool, require_private: bool) -> None:
    try:
        with replacing(path, force=force) as file:
            if require_private:
                require_kept_mode(os.fstat(file.fileno()), path.parent)
            file.write(content)
    except FileExistsError as error:
        raise BadInput(f"{path} exists already", hint="--force overwrites it") from error
