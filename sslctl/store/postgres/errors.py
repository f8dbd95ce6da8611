"""Errors of psycopg as ours."""

from __future__ import annotations

from psycopg import errors

from sslctl.errors import Busy, Problem, SslctlError, StateBusy, StateError
from sslctl.text import clean

_LONGEST = 300
_BUSY = (
    errors.LockNotAvailable,
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.QueryCanceled,
)
_UNREACHABLE = (errors.OperationalError, errors.InterfaceError)


def translated(error: errors.Error) -> SslctlError:
    """Return an error of psycopg as one of ours. A server's detail is left out: it may quote a whole row."""
    why = clean(error.diag.message_primary or str(error), _LONGEST)
    if isinstance(error, errors.UniqueViolation):
        return Busy(
            "another sslctl changed the same meanwhile",
            hint="look again, then try again",
            problem=Problem("state.changed"),
        )
    if isinstance(error, _BUSY):
        return StateBusy(
            f"the database is locked by another connection and did not become free in time: {why}",
            hint="run the command again; what was recorded before is kept",
        )
    if isinstance(error, errors.InsufficientPrivilege):
        return StateError(
            f"the database refuses this role: {why}",
            hint="docs/postgres.md lists what the role of sslctl needs; `sslctl init` needs the one that makes the tables",
        )
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return StateError(
            f"the database cannot be written to: {why}",
            hint="state.url names a standby server; name the primary",
        )
    if isinstance(error, errors.UndefinedTable | errors.UndefinedColumn):
        return StateError(f"the database is not as sslctl made it: {why}", hint="`sslctl doctor` looks at it")
    if isinstance(error, _UNREACHABLE):
        return StateError(
            f"cannot use the PostgreSQL database: {why}",
            hint="check state.url, and that the server runs; what was recorded before is kept",
        )
    return StateError(f"the database cannot be used: {why}", hint="nothing was changed")
