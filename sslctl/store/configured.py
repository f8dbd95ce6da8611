"""The store that is configured: SQLite in a folder of this machine, or PostgreSQL (`state.url`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from sslctl.config.state import StateSection, find_url
from sslctl.rules.limits import Limits
from sslctl.store.folder import make_folder, require_ours
from sslctl.store.interface import Store
from sslctl.store.keyring import Keyring
from sslctl.store.sql.inspection import SqlInspection
from sslctl.store.sqlite import presence as file_presence
from sslctl.store.sqlite.presence import lock_folder_of
from sslctl.store.sqlite.waiting import Waiting
from sslctl.system.extras import missing_package


def require_state(state: StateSection) -> None:
    """Raise `StateError` if there is no state in a folder, or only a part of one. A server is asked when it is used."""
    if not state.is_on_server:
        file_presence.require_state(state)


def require_creatable(state: StateSection, *, with_key: bool) -> bool:
    """Return whether a state may be created; False if there is one.

    Raise `StateError` if something of a state is there without its database. With `with_key` a key file alone is accepted.
    """
    if not state.is_on_server:
        return file_presence.require_creatable(state, with_key=with_key)
    with needing_postgres():
        from sslctl.store.postgres import presence  # noqa: PLC0415 - needs the extra
    return presence.require_creatable(find_url(state), state, with_key=with_key)


def open_store(
    state: StateSection,
    keyring: Keyring,
    *,
    clock: Callable[[], datetime],
    actor: str,
    limits: Mapping[str, Limits],
    waiting: Waiting,
    create: bool = False,
    file: Path | None = None,
) -> Store:
    """Return the store; with `create` what is missing of it is made. `limits` are those of each CA, the first one's first.

    `file` is another SQLite database than that of `state`.
    """
    if file is not None or not state.is_on_server:
        from sslctl.store.sqlite.store import SqliteStore  # noqa: PLC0415 - slow to import

        return SqliteStore(
            file or state.database_path,
            keyring,
            clock=clock,
            actor=actor,
            limits=limits,
            create=create,
            waiting=waiting,
        )
    with needing_postgres():
        from sslctl.store.postgres.store import PostgresStore  # noqa: PLC0415 - needs the extra
    if create:
        make_folder(state.dir)
    require_ours(state.dir)
    return PostgresStore(
        find_url(state),
        keyring,
        clock=clock,
        actor=actor,
        lock_folder=lock_folder_of(state.database_path),
        limits=limits,
        create=create,
        lock_seconds=waiting.write_seconds,
        max_connections=state.max_connections,
    )


def inspect(
    state: StateSection, cas: Sequence[str], *, waiting: Waiting | None, keyring: Keyring | None = None
) -> SqlInspection:
    """Return what can be read of the store without a change. Raise `StateError` if there is none."""
    require_state(state)
    if not state.is_on_server:
        from sslctl.store.sqlite.inspection import Inspection  # noqa: PLC0415 - only one of the two

        return Inspection(state.database_path, cas, waiting=waiting, keyring=keyring)
    with needing_postgres():
        from sslctl.store.postgres.inspection import (  # noqa: PLC0415 - needs the extra
            Inspection as ServerInspection,
        )
    return ServerInspection(
        find_url(state),
        cas,
        lock_folder_of(state.database_path),
        keyring=keyring,
        max_connections=state.max_connections,
    )


@contextmanager
def needing_postgres() -> Iterator[None]:
    """Run the block, which imports the store in PostgreSQL. Raise `ConfigError` if its package is missing."""
    try:
        yield
    except ImportError as error:
        raise missing_package("postgres", "state.url needs the package", str(error.name)) from error
