"""The pauses towards the CA, for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sslctl.rules.limits import Kind, Pause
from sslctl.rules.singapore import moment

_WIDE = {
    Kind.ACCOUNT: "Nothing is asked of the CA",
    Kind.BREAKER: "Nothing is asked of the CA",
    Kind.ORDERS: "No new orders are placed",
}


def lines(pauses: Sequence[Pause]) -> Iterator[str]:
    """Give a line for each pause that concerns all domains, and one for the rest together."""
    for pause in pauses:
        if pause.scope.kind in _WIDE:
            yield f"{_WIDE[pause.scope.kind]} until {moment(pause.until)}: {pause.why}"
    narrow = [pause for pause in pauses if pause.scope.kind not in _WIDE]
    if narrow:
        names = "one name or set of names" if len(narrow) == 1 else f"{len(narrow)} names or sets of names"
        yield f"No new orders for {names} until {moment(narrow[0].until)} at the latest, as the CA asked"
