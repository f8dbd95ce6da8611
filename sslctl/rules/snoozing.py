"""Whether the trouble of a domain is snoozed: a pure function of the stored facts and of `now`.

A snooze hides known trouble from people who look for what needs them. It hides nothing that is new, and nothing that is about
to go dark. It is not ended by a stored change: if the new trouble is over, the rest of the snooze is in force again.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from sslctl.errors import BadInput, Problem
from sslctl.rules.model import Domain, DomainSummary, Verdict
from sslctl.rules.reasons import REASONS, Code, Owner, Status
from sslctl.rules.remarks import Snooze
from sslctl.rules.singapore import format_duration, format_sgt
from sslctl.rules.status import derive_status
from sslctl.rules.warnings import find_warnings

LONGEST_SNOOZE = timedelta(days=90)
LAST_DAYS = timedelta(days=3)
"""So long before what is served expires, nothing is snoozed."""

# Clocks differ by seconds, and are corrected by minutes.
_SLACK = timedelta(days=1)
_NOTHING_LEFT = timedelta(0)


def is_snoozed(domain: Domain | DomainSummary, now: datetime) -> bool:
    """Return whether the trouble of `domain` is snoozed at `now`."""
    snooze = domain.remarks.snooze
    return snooze is not None and not why_ended(domain, snooze, now)


def snoozed_until(domain: Domain | DomainSummary, now: datetime) -> datetime | None:
    """Return until when the trouble of `domain` is snoozed, None if it is not snoozed at `now`."""
    snooze = domain.remarks.snooze
    return snooze.until if snooze is not None and not why_ended(domain, snooze, now) else None


def why_ended(domain: Domain | DomainSummary, snooze: Snooze, now: datetime) -> str:
    """Return why `snooze`, which is that of `domain`, is not in force at `now`; empty if it is."""
    return _find_end(domain, snooze, now)[0]


def explain_end(domain: Domain | DomainSummary, snooze: Snooze, now: datetime) -> Problem | None:
    """Return what `why_ended` says as a problem with a key; None if the snooze is in force."""
    return _find_end(domain, snooze, now)[1]


def _find_end(domain: Domain | DomainSummary, snooze: Snooze, now: datetime) -> tuple[str, Problem | None]:
    """Return why `snooze` is not in force, in English and as a problem; empty and None if it is."""
    if now >= snooze.until:
        return "its time is over", Problem("snooze.ended")
    if snooze.until - now > LONGEST_SNOOZE + _SLACK:
        return "it was set while the clock was wrong", Problem("snooze.clock")
    left = _time_left(domain, now)
    if _NOTHING_LEFT < left <= LAST_DAYS:
        return f"what is served expires in {format_duration(left)}", Problem("snooze.expires", {"left": left})
    if left <= _NOTHING_LEFT and not snooze.is_dark:
        return "nothing valid is served any more", Problem("snooze.dark")
    verdict = derive_status(domain, now)
    if verdict.status.rank < snooze.status.rank:
        statuses = {"before": snooze.status, "now": verdict.status}
        return f"the status was {snooze.status} and is {verdict.status}", Problem("snooze.worse", statuses)
    new = ", ".join(sorted(set(_codes(domain, verdict, now)) - snooze.codes))
    return (f"{new} is new", Problem("snooze.new", {"codes": new})) if new else ("", None)


def require_end(until: datetime, now: datetime) -> None:
    """Raise `BadInput` if no snooze that is set at `now` can last until `until`."""
    if until <= now:
        raise BadInput(
            f"a snooze cannot end at {format_sgt(until)}, which is over",
            problem=Problem("snooze.past", {"until": until}),
        )
    if until - now > LONGEST_SNOOZE:
        raise BadInput(
            f"a snooze until {format_sgt(until)} is too long; the longest is {LONGEST_SNOOZE.days} days",
            problem=Problem("snooze.long", {"until": until, "days": LONGEST_SNOOZE.days}),
        )


def make_snooze(domain: Domain, until: datetime, now: datetime) -> Snooze:
    """Return a snooze of the trouble that `domain` has at `now`. Raise `BadInput` if there is none, or it cannot be snoozed."""
    require_end(until, now)
    left, verdict = _time_left(domain, now), derive_status(domain, now)
    if _NOTHING_LEFT < left <= LAST_DAYS:
        raise BadInput(
            f"{domain.name} cannot be snoozed: what it serves expires in {format_duration(left)}, and the last"
            f" {LAST_DAYS.days} days are never snoozed",
            problem=Problem("snooze.last_days", {"left": left, "days": LAST_DAYS.days}),
        )
    if verdict.status is Status.SUCCESS and not find_warnings(domain, now):
        raise BadInput(
            f"{domain.name} is in Success without a warning, so there is nothing to snooze",
            problem=Problem("snooze.nothing"),
        )
    codes = frozenset(_codes(domain, verdict, now))
    return Snooze(until.replace(microsecond=0), verdict.status, codes, left <= _NOTHING_LEFT)


def latest_end(domain: Domain, snooze: Snooze) -> datetime:
    """Return when `snooze` of `domain` ends if nothing new happens: at its time, or before the last days of what is served."""
    current = domain.in_service
    return (
        snooze.until
        if current is None or snooze.is_dark
        else min(snooze.until, current.not_after - LAST_DAYS)
    )


def _time_left(domain: Domain | DomainSummary, now: datetime) -> timedelta:
    """Return the time until what is served expires; nothing is left if nothing is served."""
    return _NOTHING_LEFT if domain.in_service is None else domain.in_service.not_after - now


def _codes(domain: Domain | DomainSummary, verdict: Verdict, now: datetime) -> Iterator[Code]:
    """Yield the codes of the findings and warnings that somebody must act on.

    A domain that left the CDN has the warning `DEPARTED` after some days. That is nothing new, so the code before that counts.
    """
    for code in (verdict.code, verdict.also.code if verdict.also else None):
        if code is not None and REASONS[code].owner is not Owner.NOBODY:
            yield code
    for warning in find_warnings(domain, now):
        is_departed = warning.code is Code.DEPARTED and domain.caution is not None
        code = domain.caution.code if is_departed and domain.caution is not None else warning.code
        if REASONS[code].owner is not Owner.NOBODY:
            yield code
