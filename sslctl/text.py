"""Text from outside: the decoding of files, the cleaning of what may be hostile (the CA, C4, DNS); and times as text."""

from __future__ import annotations

import codecs
import re
import unicodedata
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

# CSI, OSC and two-byte escape sequences (ECMA-48). They are removed whole; otherwise "\x1b[31m" would leave "[31m".
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-_]|\x9b[0-?]*[ -/]*[@-~]"
)
# Invisible characters whose category is letter, mark or symbol: the rest of Unicode's property
# Default_Ignorable_Code_Point (DerivedCoreProperties.txt), and the blank Braille pattern.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_LONGEST = 300
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
# So many characters decide whether a file without a byte order mark is UTF-16.
_SAMPLE = 64
_FULLWIDTH = {ord(each): ord(each) + 0xFEE0 for each in "@<>&*_~|`[]#!\\"}


def decode_text(content: bytes, errors: Literal["strict", "replace"] = "strict") -> str:
    """Return the text of a file that a person wrote: UTF-8 or UTF-16, without byte order mark, with LF at the end of lines.

    Windows writes byte order marks and CRLF, PowerShell writes UTF-16 into redirected output. Without a byte order mark,
    text is taken as UTF-16 if every second byte of its start is NUL. Raise `UnicodeDecodeError`, which is a `ValueError`,
    unless `errors` is "replace".
    """
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), None)
    text = content.decode(encoding or _guess_encoding(content[: 2 * _SAMPLE]), errors)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _guess_encoding(start: bytes) -> str:
    odd, even = start[1::2], start[::2]
    if odd and not any(odd) and all(even):
        return "utf-16-le"
    if odd and not any(even) and all(odd):
        return "utf-16-be"
    return "utf-8"


def clean(text: object, limit: int = _LONGEST) -> str:
    """Return `text`, any object, as one line that is safe for a terminal or a log.

    The line has at most `limit` characters, at least 1. It has no control characters, escape sequences, bidirectional or
    other invisible characters (Unicode TR36, section 3.6), and its white space is folded. This function never raises. It
    does not make a CSV cell safe: a leading `=` stays.
    """
    # Cut first, so that a huge text takes bounded time.
    raw = _INVISIBLE.sub(" ", _ESCAPES.sub(" ", _read(text)[: limit * 8]))
    kept = (character if _is_allowed(character) else " " for character in raw)
    folded = " ".join("".join(kept).split())
    return folded if len(folded) <= limit else folded[: limit - 1] + "…"


def without_markup(text: str) -> str:
    """Return `text` with the characters that start a mention or markup replaced by their fullwidth forms (U+FF00).

    Chat services and mail programs read Markdown, HTML or a dialect of their own, often in messages that were sent as plain
    text: `@everyone`, `<!channel>`, `[click](https://…)`. A person still reads what it said.
    """
    return text.translate(_FULLWIDTH)


def _read(text: object) -> str:
    try:
        return str(text)
    except Exception:  # noqa: BLE001 - an error whose __str__ fails must not hide the problem that it reports
        return type(text).__name__


def _is_allowed(character: str) -> bool:
    return character == " " or not unicodedata.category(character).startswith(("C", "Z"))


# In a list of many domains the same times occur often.
@lru_cache(maxsize=1024)
def instant(at: datetime) -> str:
    """Return an aware time in RFC 3339, in UTC, to the second: `2026-11-23T16:00:00Z`.

    Texts of this form sort in the order of their times.
    """
    in_utc = at if at.tzinfo is UTC else at.astimezone(UTC)
    # Not strftime: it writes years below 1000, which a pasted certificate may have, with fewer than four digits.
    # isoformat() of date and time takes half as long as that of the datetime with its zone.
    return f"{in_utc.date().isoformat()}T{in_utc.time().isoformat('seconds')}Z"


def join_hints(*hints: str | None) -> str:
    """Return the hints as one line, without those that are empty."""
    return "; ".join(filter(None, hints)).replace("?; ", "? ")
