"""Whether there is a state, and what remains of one that was lost. Nothing here makes or changes a file."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from sslctl.config.state import StateSection
from sslctl.errors import StateError

MISSING, EMPTY = "does not exist", "is empty"
MAKE_HINT = "`sslctl init` creates a new one, and `sslctl restore FILE` brings one back from a backup"


def find_gap(path: Path) -> str:
    """Return why there is no database at `path`: `MISSING` or `EMPTY`. Return "" if there is something to open.

    Raise `StateError` if that cannot be found out: a folder that cannot be searched is not a missing file.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return MISSING
    except OSError as error:
        raise StateError(
            f"cannot open the database {path}: {error.strerror}", hint="state.dir names the folder"
        ) from error
    return EMPTY if stat.S_ISREG(found.st_mode) and not found.st_size else ""


def require_state(state: StateSection) -> None:
    """Raise `StateError` if there is no state, or if something of a state is there without its database."""
    gap, remains = _examine(state)
    if remains:
        raise _lost(state, gap, remains)
    if gap:
        raise StateError(
            f"there is no state in {state.dir}: {state.database_path.name} {gap}",
            hint=f"check --config and state.dir; {MAKE_HINT}",
        )


def require_creatable(state: StateSection, *, with_key: bool) -> bool:
    """Return whether a state may be created; False if there is one.

    Raise `StateError` if something of a state is there without its database. With `with_key` a key file alone is accepted:
    it was prepared for a new state.
    """
    gap, remains = _examine(state)
    if remains and not (with_key and gap == MISSING and remains == [_key_of(state)]):
        raise _lost(state, gap, remains)
    return bool(gap)


def _examine(state: StateSection) -> tuple[str, list[str]]:
    """Return the gap (`find_gap`) and, if there is one, what is there of a state beside its database, in words."""
    path = state.database_path
    if not find_gap(path):
        return "", []
    remains = list(_remains(state))
    # A second look, because a state that is being made gets its database before its key file.
    gap = find_gap(path)
    return gap, remains if gap else []


def _lost(state: StateSection, gap: str, remains: list[str]) -> StateError:
    hint = "`sslctl restore FILE` brings it back from a backup; nothing was changed"
    if remains == [_key_of(state)]:
        if gap == EMPTY:
            hint += f"; if there never was a state, delete {state.database_path} and run `sslctl init`"
        else:
            hint += "; if the key file was prepared for a new state, `sslctl init` creates that"
    return StateError(
        f"the state was lost: {state.database_path} {gap}, but there is still {' and '.join(remains)}",
        hint=hint,
    )


def _key_of(state: StateSection) -> str:
    return f"the key file {state.master_key_path}"


def journal_of(path: Path) -> Path:
    """Return the journal of the database `path`, from which SQLite rolls back a transaction that a crash interrupted."""
    return path.with_name(f"{path.name}-journal")


def lock_folder_of(path: Path) -> Path:
    """Return the folder of the files that the processes with claims in the database `path` lock."""
    return path.parent / "processes"


def _remains(state: StateSection) -> Iterator[str]:
    if _is_there(state.master_key_path):
        yield _key_of(state)
    if any(each.is_file() for each in state.accounts_dir.rglob("*")):
        yield f"an account at a CA in {state.accounts_dir}"
    journal = journal_of(state.database_path)
    if _is_there(journal):
        yield f"the journal {journal}"


def _is_there(path: Path) -> bool:
    """Return whether `path` exists, or may exist in a folder that cannot be searched."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True
