"""Warnings that concern no single domain: pauses at the CA, and a notice that was not delivered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sslctl.rules.limits import LimitKind, Pause
from sslctl.rules.model import Notice
from sslctl.rules.singapore import format_sgt

_WIDE = {
    LimitKind.ACCOUNT: "No requests are sent to the CA",
    LimitKind.BREAKER: "No requests are sent to the CA",
    LimitKind.ORDERS: "No new orders are placed",
}


def pause_lines(pauses: Sequence[Pause]) -> Iterator[str]:
    """Yield one line for each pause that concerns all domains, and one line for all others."""
    for pause in pauses:
        if pause.scope.kind in _WIDE:
            yield (
                f"{_WIDE[pause.scope.kind]} until {format_sgt(pause.until)}: {pause.why}."
                f" `sslctl pauses lift {pause.scope}` ends this pause"
            )
    narrow = [pause for pause in pauses if pause.scope.kind not in _WIDE]
    if narrow:
        names = "one name or set of names" if len(narrow) == 1 else f"{len(narrow)} names or sets of names"
        yield f"No new orders for {names} until {format_sgt(narrow[0].until)} at the latest, as the CA requested"


def notice_lines(notice: Notice) -> Iterator[str]:
    """Yield a line if the last notice was not delivered to every URL."""
    if notice.missed_since is not None:
        since = format_sgt(notice.missed_since)
        yield f"The last notice has not been delivered since {since}: {notice.why}"
