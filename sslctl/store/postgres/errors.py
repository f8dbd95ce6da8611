"""Errors of psycopg as ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

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
_GIVE_IT = "put the password into ~/.pgpass with mode 0600, or the whole URL into a file that state.url_file names, or --to-file of a move"
_CHECK_VALUES = "check the port and the parameters in the URL: names and values as in libpq's manual"
# What libpq, psycopg or the server says of a connection that was not made, and the next step. The first one that fits counts.
_NEXT_STEPS = (
    ("password authentication failed", f"check the role and its password: {_GIVE_IT}"),
    ("no password supplied", _GIVE_IT),
    (
        "does not match host name",
        "name the server in the URL as its certificate does, or give the server another certificate",
    ),
    (
        "certificate verify failed",
        "sslrootcert in the URL must name the file with the CA of the server's certificate",
    ),
    (
        "root certificate file",
        "sslrootcert in the URL must name the file with the CA of the server's certificate",
    ),
    ("does not support SSL", "switch TLS on in the server (ssl = on in postgresql.conf)"),
    (
        "no pg_hba.conf entry",
        "permit the connection in pg_hba.conf of the server; it may want TLS (sslmode=verify-full in the URL)",
    ),
    ("Servname not supported", _CHECK_VALUES),
    ("invalid integer value", _CHECK_VALUES),
    ("invalid port number", _CHECK_VALUES),
    ("invalid sslmode value", _CHECK_VALUES),
    ("failed to resolve host", "check the host in the URL, and the name server of this machine"),
    ("Connection refused", "check the host and port in the URL, and that the server runs and listens there"),
    (
        "timeout expired",
        "check the host and port in the URL, and the firewalls on the way; the server may hang",
    ),
    ("timed out", "check the host and port in the URL, and the firewalls on the way; the server may hang"),
    ("permission denied", "docs/postgres.md lists what the role of sslctl needs"),
    ('database "', "docs/postgres.md shows how to make the database and its roles"),
    ('role "', "docs/postgres.md shows how to make the database and its roles"),
    (
        "too many",
        "raise max_connections of the server, set state.max_connections lower, or use PgBouncer (docs/postgres.md)",
    ),
    (
        "connection slots",
        "raise max_connections of the server, set state.max_connections lower, or use PgBouncer (docs/postgres.md)",
    ),
    (
        "the database system is",
        "wait until the server is up, then run the command again; what was recorded before is kept",
    ),
    (
        "terminating connection",
        "the server was stopped, or a person ended the connection: run the command again; what was recorded before is kept",
    ),
    (
        "server closed the connection",
        "check that the server runs, then run the command again; what was recorded before is kept",
    ),
)
# libpq's guess behind "server closed the connection unexpectedly".
_GUESS = re.compile(
    r"\s*This probably means the server terminated abnormally\s+before or while processing the request\."
)


@contextmanager
def translating(url: str) -> Iterator[None]:
    """Run the block, and raise its errors of psycopg as ours about the database of `url`."""
    try:
        yield
    except errors.Error as error:
        raise _translated(error, url) from error


def _translated(error: errors.Error, url: str) -> SslctlError:
    """Return an error of psycopg with the database of `url` as one of ours. A server's detail is left out: it may quote a whole row."""
    why = clean(error.diag.message_primary or _GUESS.sub("", str(error)), _LONGEST)
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
            f"cannot use the {_name_of(url)}: {why}",
            hint=_next_step(str(error)),
        )
    return StateError(f"the database cannot be used: {why}", hint="nothing was changed")


def _name_of(url: str) -> str:
    """Return what a message calls the database, as far as `url` says it: its name, and its hosts."""
    named = conninfo_to_dict(url)
    database, host = (clean(named.get(key) or "", _LONGEST) for key in ("dbname", "host"))
    return " ".join(filter(None, ["PostgreSQL database", database, host and f"on {host}"]))


def _next_step(said: str) -> str:
    return next(
        (step for sign, step in _NEXT_STEPS if sign in said),
        "check state.url, and that the server runs; what was recorded before is kept",
    )
