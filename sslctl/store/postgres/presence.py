"""Whether the PostgreSQL database holds a state. Nothing here changes it."""

from __future__ import annotations

from sslctl.config.state import StateSection
from sslctl.errors import StateError
from sslctl.store.postgres import schema
from sslctl.store.postgres.connecting import connect
from sslctl.store.postgres.errors import translating


def has_state(url: str) -> bool:
    """Return whether there is a state, whatever the version of its schema. Raise `StateError` if that cannot be found out."""
    with translating(url), connect(url) as connection:
        if not schema.find_version(connection):
            return False
        schema.require_here(connection)
        return connection.execute("SELECT 1 FROM key_check").fetchone() is not None


def require_creatable(url: str, state: StateSection, *, with_key: bool) -> bool:
    """Return whether a state may be created; False if there is one.

    Raise `StateError` if there is a key file without a state, unless it is accepted `with_key`: it was prepared for a new one.
    """
    if has_state(url):
        return False
    if state.master_key_path.exists() and not with_key:
        raise StateError(
            f"there is no state in {state.shown_database}, but there is the key file {state.master_key_path}",
            hint="check state.url; if the key file was prepared for a new state, `sslctl init` creates that",
        )
    return True
