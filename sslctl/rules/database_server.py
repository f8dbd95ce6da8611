"""What of the server of the database may lose data, or be misused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from sslctl.rules.wrong_clock import REFUSED_FROM

_MOST_SKEW = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class DatabaseServer:
    """A PostgreSQL server, as one connection to it is told.

    `is_owner` is whether the role can change the tables. A tick may need `connections_needed`. `skew` is how far its clock is behind that of this machine, `is_private` whether nobody else
    reads the connection: it is encrypted, or does not leave this machine.
    """

    version: str
    database: str
    role: str
    is_superuser: bool
    is_owner: bool
    fsync: str
    synchronous_commit: str
    skew: timedelta
    connections_left: int
    connections_needed: int
    is_private: bool


def find_faults(server: DatabaseServer) -> Iterator[tuple[str, str]]:
    """Yield each fault of `server`, and what to do."""
    if server.is_superuser:
        yield (
            f"the role {server.role} is a superuser, so whoever has the configuration rules the whole server",
            "name the role of docs/postgres.md",
        )
    elif server.is_owner:
        yield (
            f"the role {server.role} can change the tables, also those that keep the history",
            "name the role for the daily work (docs/postgres.md), and keep this one for `sslctl init`",
        )
    if server.fsync == "off":
        yield (
            "fsync is off: a power cut may destroy the database, with the keys in it",
            "set fsync = on in postgresql.conf",
        )
    if server.synchronous_commit == "off":
        yield (
            "synchronous_commit is off: after a crash a key may be lost whose certificate was issued",
            "set synchronous_commit = on, for the database or for the role",
        )
    skew = abs(server.skew)
    if skew > _MOST_SKEW:
        refused = "; ticks of this machine do nothing until that is mended" if skew >= REFUSED_FROM else ""
        yield (
            f"its clock and that of this machine differ by {skew.total_seconds():,.0f} seconds{refused}",
            "synchronise both with NTP",
        )
    if server.connections_left < server.connections_needed:
        yield (
            f"only {server.connections_left} more connections are possible, and a tick needs up to {server.connections_needed}",
            "raise max_connections of the server, set state.max_connections lower, or use PgBouncer (docs/postgres.md)",
        )
    if not server.is_private:
        yield (
            "the connection is not encrypted: others in the network can read and change the state",
            "add sslmode=verify-full to the URL",
        )
