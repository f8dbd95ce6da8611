"""Pause all orders and all changes on C4 for maintenance, unless certificates would expire meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sslctl.errors import BadInput, TryLater
from sslctl.rules.maintenance_pause import LONGEST, RENEWAL_TIME, Endangered, describe, find_endangered
from sslctl.rules.model import MaintenancePause, Source
from sslctl.rules.singapore import format_both, format_duration
from sslctl.store.interface.domains import Domains, Query
from sslctl.store.interface.maintenance_pauses import MaintenancePauses
from sslctl.text import clean

_LONGEST_REASON = 200
_MOST_NAMES = 5


class _Store(Domains, MaintenancePauses, Protocol):
    """What setting a pause reads and writes."""


@dataclass(frozen=True, slots=True)
class Paused:
    """A maintenance pause that was set, the one that it replaced, and what it lets expire, the soonest expiry first."""

    pause: MaintenancePause
    replaced: MaintenancePause | None
    endangered: Sequence[Endangered]


def pause(store: _Store, until: datetime, reason: str, now: datetime, *, force: bool) -> Paused:
    """Pause orders and changes on C4 from `now` until `until`, because of `reason`, in place of an earlier pause.

    Raise `BadInput` if `until` is not later than `now` or more than `LONGEST` away, if `reason` is empty, or if
    certificates would expire before they could be renewed; `force` accepts these.
    """
    reason = clean(reason, _LONGEST_REASON)
    if not reason:
        raise BadInput("the reason is empty", hint="people read it in `sslctl list` and in notices: name one")
    if until <= now:
        raise BadInput(
            f"the pause would end {format_both(until)}, which is over; it is {format_both(now)} now"
        )
    if until - now > LONGEST:
        raise BadInput(
            f"the pause would last until {format_both(until)}; the longest is {format_duration(LONGEST)}",
            hint="set a shorter one; it can be set again before it ends",
        )
    # What a renewal needs counts, so that the end of the pause is early enough.
    soon = Query(source=Source.C4, expiring_within=until + RENEWAL_TIME - now)
    endangered = find_endangered(store.domains(soon, now), now, until)
    if endangered and not force:
        raise _refused(endangered, now)
    replaced = store.maintenance_pause(now)
    consequence = f"accepted with --force: {describe_endangered(endangered)}" if endangered else ""
    return Paused(store.set_maintenance_pause(until, reason, consequence), replaced, endangered)


def require_none(store: MaintenancePauses, now: datetime) -> None:
    """Raise `TryLater` while orders are paused: what a person asks for now would be forgotten by the end of the pause."""
    paused = store.maintenance_pause(now)
    if paused is not None:
        raise TryLater(
            f"orders are paused {describe(paused)}; nothing was ordered",
            hint="run the command again after the pause, or end it with `sslctl resume`",
        )


def describe_endangered(endangered: Sequence[Endangered]) -> str:
    """Return in words which certificates a pause lets expire; there is at least one."""
    number, first = len(endangered), endangered[0]
    if number == 1:
        return f"the certificate of {first.name} expires {format_both(first.expires_at)}"
    names = ", ".join(each.name for each in endangered[1:_MOST_NAMES])
    more = f" and {number - _MOST_NAMES} more" if number > _MOST_NAMES else ""
    return (
        f"{number} certificates expire, the first that of {first.name}, {format_both(first.expires_at)};"
        f" then {names}{more}"
    )


def _refused(endangered: Sequence[Endangered], now: datetime) -> BadInput:
    latest = endangered[0].expires_at - RENEWAL_TIME
    possible = (
        f"a pause until {format_both(latest)} at the latest lets none expire"
        if latest > now
        else "let the next tick renew them first"
    )
    return BadInput(
        f"nothing was paused, because certificates would expire before they could be renewed"
        f" ({format_duration(RENEWAL_TIME)} after the pause): {describe_endangered(endangered)}",
        hint=f"{possible}; --force pauses all the same",
    )
