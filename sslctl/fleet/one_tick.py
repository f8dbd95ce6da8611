"""Only one tick leads at a time: the lock, the claim, and what the next tick reports of one that still runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

from sslctl.errors import Busy, StateBusy
from sslctl.rules.claim_names import TICK, describe_owner
from sslctl.rules.model import Claim, Life
from sslctl.rules.singapore import format_sgt
from sslctl.store.interface.claims import Claims
from sslctl.system.locks import locked

# No tick lasts so long unless it hangs.
_CLAIM_DURATION = timedelta(hours=12)
# A tick that orders for a large fleet may last for an hour or two. After so long a person should look.
_LONG = timedelta(hours=3)
# Clocks are corrected by a little. Those of two machines are each less than an hour from the database's.
_SLACK = timedelta(minutes=5)
_SLACK_OF_OTHERS = timedelta(hours=2)
# Between its lock and its claim a tick is not known yet.
_CLAIM_SECONDS = 3
_RETRY_SECONDS = 0.05


class TickRuns(Busy):
    """Another tick is at work, and nothing suggests that it hangs: this one has nothing to do."""


@contextmanager
def only_tick(
    store: Claims, lock_path: Path, clock: Callable[[], datetime], *, is_shared: bool = False
) -> Iterator[str | None]:
    """Keep out other ticks for the block, also those of this process and of other PID namespaces.

    With `is_shared`, and if a tick of another machine runs, keep out only those of this machine, and yield which one it is, in words,
    instead of raising `TickRuns`. Otherwise yield None: this one leads.

    Raise `TickRuns` if another tick runs that began less than 3 hours ago, and `Busy` for any other: it may hang, its owner may
    be dead, or something else has the lock, such as a restore.
    """
    end = time.monotonic() + _CLAIM_SECONDS
    while True:
        with locked(lock_path) as is_free:
            if is_free and store.claim([TICK], _CLAIM_DURATION):
                try:
                    yield None
                finally:
                    # While the database is locked the claim stays until this process ends, which voids it.
                    with suppress(StateBusy):
                        store.release([TICK])
                return
            claim = next((one for one in store.claims() if one.name == TICK and one.is_valid), None)
            if claim is not None:
                is_alive = not is_free or claim.life is Life.ALIVE
                slack = _SLACK_OF_OTHERS if is_shared and is_free else _SLACK
                error = _busy(claim, clock(), is_alive=is_alive, slack=slack)
                if is_shared and is_free and isinstance(error, TickRuns):
                    yield error.message
                    return
                raise error
            if time.monotonic() > end:
                raise Busy("another tick is running")
        time.sleep(_RETRY_SECONDS)


def _busy(claim: Claim, now: datetime, *, is_alive: bool, slack: timedelta) -> Busy:
    """Return the error of a tick that finds the one with `claim` running."""
    who = describe_owner(claim.owner)
    running = f"another tick is running: {who}"
    if claim.until <= now:
        return Busy(
            f"a tick should have ended by {format_sgt(claim.until)} and still runs: {who}; it may hang",
            hint="end that process; if that is impossible, run `sslctl claims break tick --force`",
        )
    age = now - (claim.until - _CLAIM_DURATION)
    if is_alive and -slack <= age < _LONG:
        return TickRuns(running)
    return Busy(running, hint="if it hangs, end that process" if is_alive else None)
