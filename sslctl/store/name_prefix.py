"""Names of domains, and assignees, in the state that is configured, for the completion of a shell; see `sql.name_prefix`."""

from __future__ import annotations

from sslctl.config.state import StateSection, find_url

# A person waits for the completion of a name.
_SECONDS = 0.2
# A connection to a server takes longer, above all with TLS.
_SERVER_SECONDS = 1.0


def find_names(
    state: StateSection, prefix: str, *, managed: bool, deleted: bool, other_names: bool
) -> list[str]:
    """Return names that begin with `prefix`, sorted; see `sqlite.name_prefix.find_names`. Raise any error of the state."""
    if state.is_on_server:
        from sslctl.store.postgres import name_prefix as on_server  # noqa: PLC0415 - needs the extra

        return on_server.find_names(
            find_url(state),
            prefix,
            managed=managed,
            deleted=deleted,
            other_names=other_names,
            seconds=_SERVER_SECONDS,
        )
    from sslctl.store.sqlite import name_prefix as in_file  # noqa: PLC0415 - only one of the two

    return in_file.find_names(
        state.database_path,
        prefix,
        managed=managed,
        deleted=deleted,
        other_names=other_names,
        seconds=_SECONDS,
    )


def find_assignees(state: StateSection, prefix: str) -> list[str]:
    """Return assignees that begin with `prefix`, sorted. Raise any error of the state."""
    if state.is_on_server:
        from sslctl.store.postgres import name_prefix as on_server  # noqa: PLC0415 - needs the extra

        return on_server.find_assignees(find_url(state), prefix, seconds=_SERVER_SECONDS)
    from sslctl.store.sqlite import name_prefix as in_file  # noqa: PLC0415 - only one of the two

    return in_file.find_assignees(state.database_path, prefix, seconds=_SECONDS)
