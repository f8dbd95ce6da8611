"""Restore the state from a backup."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import datetime
from pathlib import Path

from sslctl.config.state import StateSection
from sslctl.errors import BadInput, Busy, StateError
from sslctl.fleet import enrolment
from sslctl.rules.model import Milestone
from sslctl.store.interface import Store
from sslctl.store.interface.maintenance import Copy
from sslctl.store.keyring import Keyring
from sslctl.store.sqlite import copies, replacement
from sslctl.system.locks import locked
from sslctl.text import clean


def restore(
    backup: Path,
    state: StateSection,
    keyring: Keyring,
    open_store: Callable[[Path], Store],
    clock: Callable[[], datetime],
) -> tuple[Copy, Path | None]:
    """Create the database of `state` from `backup`; return what it holds, and where an unreadable database was kept.

    A state that never held a domain is replaced. Raise `StateError` if there is another one, or if the backup or the key file
    cannot be used; raise `Busy` if a tick or another restore runs. Nothing is created or changed then.
    """
    if state.is_on_server:
        raise BadInput(
            f"the state is in PostgreSQL ({state.shown_database}), which `sslctl restore` does not restore",
            hint="docs/postgres.md describes it with pg_restore",
        )
    if not keyring.exists:
        raise StateError(
            f"the key file {keyring.path} is missing, and without it no private key in the backup can be read",
            hint="put it back first",
        )
    path = state.database_path
    replacement.require_replaceable(path)
    with ExitStack() as stack:
        if path.exists() and not stack.enter_context(locked(state.tick_lock_path)):
            raise Busy("a tick or another restore is running")
        made, copy = stack.enter_context(copies.unpacked(backup, path))
        with closing(open_store(made)) as store:
            store.require_keys()
            enrolment.reverify(store, clock(), "restored from a backup")
            # Since the backup a person may have decided otherwise.
            store.forget_text_consents()
            store.record_milestone(Milestone.RESTORED, clean(backup))
        return copy, replacement.put_in_place(made, path, clock())
