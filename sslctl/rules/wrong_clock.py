"""How far the clock of a machine may be from that of the database, which is the same for all machines."""

from __future__ import annotations

from datetime import timedelta

# Retries and due dates of half an hour and more are right then; zones that were taken for UTC are not.
REFUSED_FROM = timedelta(hours=1)
# NTP keeps clocks within a second. What is a few minutes early or late does no harm, but such a clock is wrong by more soon.
_WARNED_FROM = timedelta(minutes=5)


def describe(ahead: timedelta) -> str:
    """Return in words that a clock is `ahead` of another one, or behind it if that is negative."""
    return f"{round(abs(ahead) / timedelta(minutes=1)):,} minutes {'ahead of' if ahead > timedelta() else 'behind'}"


def find_trouble(ahead: timedelta) -> str:
    """Return a sentence about the clock of this machine, which is `ahead` of the database's; empty if it is near enough."""
    if abs(ahead) < _WARNED_FROM:
        return ""
    when = "early" if ahead > timedelta() else "late"
    return (
        f"The clock of this machine is {describe(ahead)} that of the database: what is due is done so much too {when}, and from an hour on"
        " ticks of this machine do nothing. Synchronise the clocks of this machine and of the database with NTP"
    )
