"""Which files of this machine are sslctl's own, so that no output replaces one whose name was mistyped."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path

from sslctl.config.settings import Config
from sslctl.errors import BadInput

_FOLDERS = frozenset({"state.dir", "acme.webroot", "history.archive_dir"})


def find_own_file(config: Config, path: Path) -> str:
    """Return what `path` is among the files that sslctl needs, such as `c4.token_file`; empty if it is none of them.

    Another spelling, a symbolic link and a hard link are that file too.
    """
    return next((key for key, file in _own_files(config).items() if _is_same(file, path)), "")


def require_foreign_file(config: Config, path: Path) -> None:
    """Raise `BadInput` if `path`, which is about to be written, is one of sslctl's own files."""
    own = find_own_file(config, path)
    if own:
        raise BadInput(f"{path} is {own}, so nothing was written", hint="name another file")


def is_in_state(config: Config, path: Path) -> bool:
    """Return whether `path` is in `state.dir` or below it, whatever its spelling."""
    state = config.state.dir
    folder = Path(os.path.realpath(path.parent))
    return any(_is_same(state, each) for each in (folder, *folder.parents))


def _own_files(config: Config) -> dict[str, Path]:
    state = config.state
    found = {
        "the database": state.database_path,
        "the journal of the database": state.database_path.with_name(f"{state.database_path.name}-journal"),
        "the lock of ticks": state.tick_lock_path,
        "the key file": state.master_key_path,
    }
    if config.path is not None:
        found["the configuration"] = config.path
    for section in fields(config):
        values = getattr(config, section.name)
        for each in fields(values) if section.name != "path" else ():
            key, value = f"{section.name}.{each.name}", getattr(values, each.name)
            if isinstance(value, Path) and key not in _FOLDERS:
                found.setdefault(key, value)
    return found


def _is_same(one: Path, other: Path) -> bool:
    """Return whether the two are the same file, or would be if they existed."""
    try:
        return one.samefile(other)
    except OSError:
        # Missing, or of another user.
        return os.path.realpath(one) == os.path.realpath(other)
