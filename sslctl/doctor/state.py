"""Checks of the database: damage, its schema, the last tick, and pauses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from sslctl.doctor import Check, bad, ok, warn
from sslctl.errors import StateError
from sslctl.rules.ca_name import ca_name
from sslctl.rules.claim_names import TICK
from sslctl.rules.database_server import find_faults
from sslctl.rules.maintenance_pause import describe
from sslctl.rules.model import Milestone
from sslctl.rules.singapore import format_duration, format_sgt
from sslctl.rules.tick_silence import is_silent
from sslctl.store.interface.domains import Query, Sort
from sslctl.store.keyring import Keyring
from sslctl.store.sql.inspection import SqlInspection

ENCRYPTION = "encryption"
LAST_TICK = "last tick"
SERVER = "database server"
MAINTENANCE = "maintenance pause"
PAUSES = "pauses at the CA"
_DAMAGE_CHECK_SECONDS = 8.0
_CRON = "check that cron or the timer runs `sslctl daemon-tick`"


# The ticks of a day check some 48 seconds of a large database.
_OLDEST_COVER = timedelta(days=14)


def database(state: SqlInspection, now: datetime) -> Iterator[Check]:
    """Check the database for damage. Of a large one, check a part, and when ticks have last checked all of it."""
    found = state.find_damage(_DAMAGE_CHECK_SECONDS)
    if found is None:
        detail = f"no damage found in {_DAMAGE_CHECK_SECONDS:g} seconds; not all of it was read"
        last = state.milestones().get(Milestone.CHECKED)
        if last is None:
            yield ok("database", f"{detail}; ticks check a part each, and have not got to the end yet")
        elif now - last.at > _OLDEST_COVER:
            yield warn(
                "database",
                f"{detail}; ticks check a part each, and last got to the end {format_sgt(last.at)}",
                "a backup checks all of it: run `sslctl backup FILE`",
            )
        else:
            yield ok("database", f"{detail}; ticks have checked all of it, last {format_sgt(last.at)}")
    elif found:
        yield bad("database", f"damaged: {found}", "stop sslctl, keep the file, and restore a backup")
    else:
        yield ok("database", f"intact, {state.describe()}, which is current")


def encryption(state: SqlInspection, keyring: Keyring) -> Iterator[Check]:
    """Check that the key file is that of this database. One that cannot be read is reported by `machine.key_file`."""
    try:
        keyring.read()
    except StateError:
        return
    state.require_key()
    yield ok(ENCRYPTION, "the key file decrypts this database")


def server(state: SqlInspection) -> Iterator[Check]:
    """Check the server of the database, if it is on one."""
    found = state.server()
    if found is None:
        return
    faults = list(find_faults(found))
    for fault, hint in faults:
        yield warn(SERVER, fault, hint)
    if not faults:
        yield ok(SERVER, f"PostgreSQL {found.version}, database {found.database}, role {found.role}")
    yield ok(
        "backup",
        "pg_dump backs this database up, not sslctl; docs/postgres.md has the commands, and the drill",
    )


def ticks(state: SqlInspection, now: datetime) -> Iterator[Check]:
    """Check when the last tick ended."""
    last = state.milestones().get(Milestone.TICK)
    running = "; one is running now" if state.is_claimed(TICK) else ""
    if last is None:
        first = next(state.listing(Query(sort=Sort.CREATED, limit=1), now).domains, None)
        is_late = is_silent(None, first and first.created_at, now)
        yield (bad if is_late else warn)(LAST_TICK, f"no tick has run yet{running}", _CRON)
        return
    detail = f"ended {format_sgt(last.at)}, {format_duration(abs(now - last.at))} ago{running}"
    yield bad(LAST_TICK, detail, _CRON) if is_silent(last.at, None, now) else ok(LAST_TICK, detail)


def maintenance(state: SqlInspection, now: datetime) -> Iterator[Check]:
    """Check whether an operator has paused orders and uploads."""
    pause = state.maintenance_pause(now)
    if pause is None:
        yield ok(MAINTENANCE, "none")
        return
    detail = f"orders and uploads are paused {describe(pause)}; set by {pause.actor}"
    yield warn(MAINTENANCE, detail, "it ends by itself; `sslctl resume` ends it now")


def pauses(state: SqlInspection, now: datetime) -> Iterator[Check]:
    """Check which requests to the CAs are paused."""
    has_fallback = len(state.cas) > 1
    for ca in state.cas:
        whose = f"{ca_name(ca)}: " if has_fallback else ""
        found = state.pauses(now, ca=ca)
        for pause in found:
            detail = f"{whose}{pause.scope} until {format_sgt(pause.until)}: {pause.why}"
            yield warn(
                PAUSES,
                detail,
                f"it ends by itself; if the CA works, `sslctl pauses lift {pause.scope.kind}` ends it now",
            )
        if not found:
            is_tripped = state.is_breaker_open(ca=ca)
            tripped = "; the CA has not answered since it last failed" if is_tripped else ""
            yield ok(PAUSES, f"{whose}none{tripped}")
