"""The database: whether it is sound and of this version, when the last tick ended, and what the CA is not asked for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from sslctl.doctor import Check, bad, ok, warn
from sslctl.rules.claim_names import TICK
from sslctl.rules.model import Milestone
from sslctl.rules.singapore import format_duration, format_sgt
from sslctl.store.interface.domains import Query, Sort
from sslctl.store.sqlite.inspection import Inspection

LAST_TICK = "last tick"
PAUSES = "pauses at the CA"
# One night may be missed by a machine that was down, and be made up an hour later.
_OLDEST_TICK = timedelta(hours=26)
# Who wants to commit waits meanwhile, and not for ever.
_LOOKING_SECONDS = 8.0
_CRON = "is cron, or the timer, running `sslctl daemon-tick`?"


def database(state: Inspection) -> Iterator[Check]:
    """Look for damage."""
    found = state.find_damage(_LOOKING_SECONDS)
    if found is None:
        yield ok("database", f"no damage found in {_LOOKING_SECONDS:g} seconds, which is not all of it")
    elif found:
        yield bad("database", f"it is damaged: {found}", "stop sslctl, keep the file, and restore a backup")
    else:
        yield ok("database", "sound, and of this version")


def ticks(state: Inspection, now: datetime) -> Iterator[Check]:
    """Look at when the last tick ended."""
    last = state.milestones().get(Milestone.TICK)
    running = "; one is running now" if state.is_claimed(TICK) else ""
    if last is None:
        first = next(state.listing(Query(sort=Sort.CREATED, limit=1), now).domains, None)
        is_late = first is not None and now - first.created_at > _OLDEST_TICK
        yield (bad if is_late else warn)(LAST_TICK, f"none has ended yet{running}", _CRON)
        return
    detail = f"ended {format_sgt(last.at)}, {format_duration(abs(now - last.at))} ago{running}"
    yield bad(LAST_TICK, detail, _CRON) if now - last.at > _OLDEST_TICK else ok(LAST_TICK, detail)


def pauses(state: Inspection, now: datetime) -> Iterator[Check]:
    """Look at what the CA is not asked for."""
    found = state.pauses(now)
    for pause in found:
        detail = f"{pause.scope} until {format_sgt(pause.until)}: {pause.why}"
        yield warn(PAUSES, detail, "it ends by itself; until then what it covers is held")
    if not found:
        tripped = ", and it has not answered since it last failed" if state.is_breaker_open else ""
        yield ok(PAUSES, f"none{tripped}")
