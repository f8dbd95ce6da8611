"""The two databases of a move of the state, chosen by where they are; see `sql.moving`."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path

from sslctl.config.state import StateSection, find_url
from sslctl.errors import StateError
from sslctl.store import configured
from sslctl.store.folder import make_folder
from sslctl.store.sql import moved
from sslctl.store.sql.moving import Side
from sslctl.store.sqlite.moving import FileSide, find_tables
from sslctl.store.sqlite.presence import find_gap
from sslctl.system.files import publish as publish_file

__all__ = ["find_tables", "has_state", "open_source", "open_target", "publish", "require_here"]


def open_source(state: StateSection) -> Side:
    """Return the database of `state`. Raise `StateError` if there is no state."""
    configured.require_state(state)
    return _open_server(state) if state.is_on_server else FileSide(state.database_path)


def open_target(state: StateSection) -> Side:
    """Return the database that the state is copied into. A file has another name until the copy is complete."""
    if state.is_on_server:
        return _open_server(state)
    path = state.database_path
    make_folder(state.dir)
    if not find_gap(path):
        found = FileSide(path)
        mark = found.mark() if found.is_marked() else None
        if mark is not None and mark[0] == moved.MOVING:
            # The copy was complete, and interrupted before its mark was removed.
            return found
        found.close()
        if mark is None:
            raise StateError(
                f"{path} exists already, and a move overwrites nothing",
                hint="move it away and keep it, or name an empty folder",
            )
    return FileSide(_unfinished(path), create=True)


def has_state(state: StateSection) -> bool:
    """Return whether there is a state, or a part of one."""
    if not state.is_on_server:
        return not find_gap(state.database_path)
    with closing(_open_server(state)) as side:
        return side.has_tables()


def publish(target: Side, state: StateSection, now: datetime, record: Callable[[Side], None]) -> None:
    """Let commands use the complete copy `target`: give a file its name, keeping one that was moved away, and remove the mark.

    `record` records the move in the same transaction.
    """
    if isinstance(target, FileSide) and target.path != state.database_path:
        path = state.database_path
        if os.path.lexists(path):
            path.rename(path.with_name(f"{path.name}.moved-{now:%Y%m%dT%H%M%SZ}"))
        target.close()
        publish_file(target.path, path, force=False)
        target = FileSide(path)
    with target.step():
        record(target)
        target.remove_mark()


def require_here(side: Side) -> None:
    """Raise `StateError` because the state is not in the database `side`, which is marked."""
    row = side.run(moved.SELECT_MARK).fetchone()
    raise moved.elsewhere(side.shown_as, tuple(row) if row else None)


def _unfinished(path: Path) -> Path:
    return path.with_name(f"{path.name}.moving")


def _open_server(state: StateSection) -> Side:
    with configured.needing_postgres():
        from sslctl.store.postgres.moving import ServerSide  # noqa: PLC0415 - needs the extra
    return ServerSide(find_url(state), state.shown_database, find_tables())
