"""The times in HTTP headers: `Retry-After` and `Date`, from the CA and from C4."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_MAX_DELAY = timedelta(days=3650)


def read(header: str | None, now: datetime) -> datetime | None:
    """Return the time that a `Retry-After` header names (RFC 9110, section 10.2.3: seconds, or a date).

    `now` and the result are aware; the result lies between `now` and ten years later. Return None if the header is missing
    or malformed. Never raise.
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        # Ten digits are three centuries; int() refuses thousands of digits.
        delay = timedelta(seconds=int(text[:10]))
    else:
        date = read_date(text)
        if date is None:
            return None
        delay = date - now
    return now + min(max(delay, timedelta()), _MAX_DELAY)


def read_date(header: str | None) -> datetime | None:
    """Return the aware time in `header` (RFC 9110, section 5.6.7), None if it is missing or malformed. Never raise."""
    try:
        date = parsedate_to_datetime(header or "")
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
