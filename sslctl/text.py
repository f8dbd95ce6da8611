"""Text from outside (the CA, C4, DNS, a pasted file) is hostile until it went through `clean`."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from functools import lru_cache

# CSI, OSC and two-byte escape sequences (ECMA-48): removed whole, or "\x1b[31m" would leave "[31m" behind.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-_]|\x9b[0-?]*[ -/]*[@-~]"
)
# Characters that show nothing and yet are letters, marks or symbols by category: the rest of Unicode's property
# Default_Ignorable_Code_Point (DerivedCoreProperties.txt), and the blank Braille pattern.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_LONGEST = 300


def clean(text: object, limit: int = _LONGEST) -> str:
    """Make `text` safe for a terminal or a log line.

    Takes anything (it is turned into a string), gives one line of at most `limit` (at least 1) characters without
    control characters, escape sequences, bidirectional or other invisible characters (Unicode TR36 section 3.6);
    white space is folded. Never raises. It does not make a CSV cell safe: a leading `=` stays.
    """
    # Cut before the work, so that a huge answer costs bounded time.
    raw = _INVISIBLE.sub(" ", _ESCAPES.sub(" ", _read(text)[: limit * 8]))
    kept = (character if _harmless(character) else " " for character in raw)
    folded = " ".join("".join(kept).split())
    return folded if len(folded) <= limit else folded[: limit - 1] + "…"


def _read(text: object) -> str:
    try:
        return str(text)
    except Exception:  # noqa: BLE001 - a foreign error whose __str__ fails must not hide the trouble it reports
        return type(text).__name__


def _harmless(character: str) -> bool:
    return character == " " or not unicodedata.category(character).startswith(("C", "Z"))


# In a list of many domains the same moments come again and again.
@lru_cache(maxsize=1024)
def instant(at: datetime) -> str:
    """Give an aware time for programs: RFC 3339 in UTC, to the second, `2026-11-23T16:00:00Z`.

    In this form the order of texts is the order of times.
    """
    in_utc = at if at.tzinfo is UTC else at.astimezone(UTC)
    # Not strftime: it gives years below 1000, which a pasted certificate may carry, fewer than four digits. Date and
    # time apart take half as long as with the zone.
    return f"{in_utc.date().isoformat()}T{in_utc.time().isoformat('seconds')}Z"
