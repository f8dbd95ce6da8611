"""Singapore time: days begin in it, and people see times in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

# Singapore has had no daylight saving time since 1936 and UTC+8 since 1982, so a fixed offset is exact.
SGT = timezone(timedelta(hours=8), "SGT")


def next_midnight(now: datetime) -> datetime:
    """Return the first 00:00 in Singapore after `now`, in UTC."""
    day = now.astimezone(SGT).date() + timedelta(days=1)
    return datetime(day.year, day.month, day.day, tzinfo=SGT).astimezone(UTC)


def format_duration(length: timedelta) -> str:
    """Return `length` in its largest unit, rounded down: `9 days`, `1 hour`, `40 seconds`."""
    seconds = int(length.total_seconds())
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size:
            return _count(seconds // size, unit)
    return _count(seconds, "second")


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def format_both(at: datetime) -> str:
    """Return `at` in Singapore time and in UTC, to the minute: `2026-11-23 12:00 SGT (2026-11-23 04:00 UTC)`."""
    return f"{format_sgt(at)} ({at.astimezone(UTC).strftime('%Y-%m-%d %H:%M UTC')})"


def format_sgt(at: datetime) -> str:
    """Return `at` in Singapore time, to the minute: `2026-11-23 12:00 SGT`."""
    return at.astimezone(SGT).strftime("%Y-%m-%d %H:%M SGT")
