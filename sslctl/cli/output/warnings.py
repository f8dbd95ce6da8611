"""Warnings that concern no single domain: pauses, and a notice that was not delivered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import click

from sslctl.rules.limits import LimitKind, Pause
from sslctl.rules.maintenance_pause import describe
from sslctl.rules.model import MaintenancePause
from sslctl.rules.notice import Notice, NoticeKey, NoticeKind
from sslctl.rules.singapore import format_sgt
from sslctl.text import clean

_WIDE = {
    LimitKind.ACCOUNT: "No requests are sent to the CA",
    LimitKind.BREAKER: "No requests are sent to the CA",
    LimitKind.ORDERS: "No new orders are placed",
}


def maintenance_lines(pause: MaintenancePause | None) -> Iterator[str]:
    """Yield a line if orders and uploads are paused for maintenance."""
    if pause is not None:
        yield (
            f"Orders and uploads are paused {describe(pause)}. Set by {pause.actor};"
            f" `sslctl resume` ends the pause"
        )


def print_maintenance(pause: MaintenancePause | None) -> None:
    """Print on standard error that orders and uploads are paused for maintenance; nothing if they are not."""
    for line in maintenance_lines(pause):
        click.echo(f"sslctl: {line}", err=True)


def pause_lines(pauses: Sequence[Pause]) -> Iterator[str]:
    """Yield one line for each pause that concerns all domains, and one line for all others."""
    yield from (line for _, line in describe_pauses(pauses))


def describe_pauses(pauses: Sequence[Pause]) -> Iterator[tuple[str, str]]:
    """Yield the lines of `pause_lines`, each after a name of what it is about that stays the same while that lasts."""
    for pause in pauses:
        if pause.scope.kind in _WIDE:
            line = (
                f"{_WIDE[pause.scope.kind]} until {format_sgt(pause.until)}: {pause.why}."
                f" `sslctl pauses lift {pause.scope}` ends this pause"
            )
            yield f"the pause {pause.scope}", line
    narrow = [pause for pause in pauses if pause.scope.kind not in _WIDE]
    if narrow:
        names = "one name or set of names" if len(narrow) == 1 else f"{len(narrow)} names or sets of names"
        yield (
            "pauses of single names",
            f"No new orders for {names} until {format_sgt(narrow[0].until)} at the latest, as the CA requested",
        )


def print_standing(
    maintenance: MaintenancePause | None, pauses: Sequence[Pause], notices: Mapping[NoticeKey, Notice]
) -> None:
    """Print on standard error what is paused, and which notices were not delivered."""
    for line in (*maintenance_lines(maintenance), *pause_lines(pauses), *notice_lines(notices)):
        click.echo(f"sslctl: {line}", err=True)


def notice_lines(notices: Mapping[NoticeKey, Notice]) -> Iterator[str]:
    """Yield a line for each route and kind whose last notice was not delivered to every URL."""
    yield from (line for _, line in describe_notices(notices))


def describe_notices(notices: Mapping[NoticeKey, Notice]) -> Iterator[tuple[str, str]]:
    """Yield the lines of `notice_lines`, each after a name of what it is about that stays the same while that lasts."""
    for (route, kind), notice in notices.items():
        if notice.missed_since is not None:
            what = "digest" if kind is NoticeKind.DIGEST else "notice"
            to = f" to the route {clean(route)}" if route else ""
            since = format_sgt(notice.missed_since)
            yield (
                f"an undelivered {what}{to}",
                f"The last {what}{to} has not been delivered since {since}: {notice.why}",
            )
