"""The one reader of the times in HTTP headers, which the CA and C4 send."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_LONGEST = timedelta(days=3650)


def read(header: str | None, now: datetime) -> datetime | None:
    """Give the time that `header` asks for (RFC 9110, section 10.2.3: seconds, or a date).

    `now` and the result are aware; the result lies between `now` and ten years later. None where the header is missing
    or makes no sense. Never raises.
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        # Ten digits are three centuries; int() refuses thousands of them.
        wish = timedelta(seconds=int(text[:10]))
    else:
        date = read_date(text)
        if date is None:
            return None
        wish = date - now
    return now + min(max(wish, timedelta()), _LONGEST)


def read_date(header: str | None) -> datetime | None:
    """Give the aware time that `header` states (RFC 9110, section 5.6.7), None where that makes no sense. Never raises."""
    try:
        date = parsedate_to_datetime(header or "")
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
