"""Writing downloaded files: private, whole or not at all, and never over what is there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from sslctl.errors import BadInput
from sslctl.system.files import publish


def check_absent(folder: Path, names: Iterable[str]) -> None:
    """Return when `folder` holds none of the files `names`, not even as a dangling link. Raises `BadInput`."""
    for name in names:
        if os.path.lexists(folder / name):
            raise BadInput(f"{folder / name} exists already", hint="--force writes over it")


def write_new(folder: Path, files: dict[str, bytes], *, force: bool) -> list[Path]:
    """Write `files` (name to content) into `folder`, mode 0600, and give their paths.

    Each file appears whole or not at all. Without `force` a file that exists is left alone. Raises `BadInput`; files
    before the one in trouble are written then, so that `check_absent` belongs before this.
    """
    paths = {name: folder / name for name in files}
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in files.items():
            _write(paths[name], content, force=force)
    except OSError as error:
        raise BadInput(f"cannot write to {folder}: {error.strerror}") from error
    return list(paths.values())


def _write(path: Path, content: bytes, *, force: bool) -> None:
    # mkstemp makes the file with mode 0600.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        publish(temporary, path, force=force)
    except FileExistsError as error:
        raise BadInput(f"{path} exists already", hint="--force writes over it") from error
    finally:
        temporary.unlink(missing_ok=True)
