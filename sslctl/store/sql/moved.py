"""The mark of a database whose state is elsewhere: a claim on the whole state that ends with no process (`sql.moving`).

The detail of `MOVED` is where the state is now, that of `MOVING` the identity of the state whose copy is not complete.
"""

from __future__ import annotations

from sslctl.errors import StateError
from sslctl.text import clean

MOVING, MOVED = "state moving", "state moved"
SELECT_MARK = "SELECT name, owner, until FROM lease WHERE name IN ('state moving', 'state moved')"
_LONGEST = 4096


def elsewhere(shown_as: str, row: tuple[str, str, str] | None) -> StateError:
    """Return the error of a command that uses the marked database `shown_as`; `row` is that of `SELECT_MARK`."""
    name, place, at = row or (MOVING, "", "")
    if name == MOVED:
        return StateError(
            f"the state is not in {clean(shown_as, _LONGEST)} any more: it was moved to {clean(place, _LONGEST)} at {clean(at)}",
            hint="name that place in the configuration (state.url, state.dir), also in the one of cron; if the move was a mistake, "
            "`sslctl state migrate --undo`, with that place behind --to, takes it back",
        )
    return StateError(
        f"{clean(shown_as, _LONGEST)} holds a copy of a state that is not complete",
        hint="run `sslctl state migrate` again where the state is: it goes on with this copy",
    )
