"""Whether ticks have stopped: nothing is renewed then, and nobody hears of it from a tick."""

from __future__ import annotations

from datetime import datetime, timedelta

# A machine that was down may miss one night and make up for it an hour later.
_OLDEST_TICK = timedelta(hours=26)


def is_silent(last_tick: datetime | None, first_added: datetime | None, now: datetime) -> bool:
    """Return whether the last tick ended too long before `now`.

    If none has ended yet (None), the time since the first domain was added counts; without a domain nothing is missed.
    """
    since = first_added if last_tick is None else last_tick
    return since is not None and now - since > _OLDEST_TICK
