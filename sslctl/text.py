"""Text from outside (the CA, C4, DNS, a pasted file) is hostile until it went through `clean`."""

from __future__ import annotations

import re
import unicodedata

# CSI, OSC and two-byte escape sequences (ECMA-48): removed whole, or "\x1b[31m" would leave "[31m" behind.
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-_]|\x9b[0-?]*[ -/]*[@-~]")
_LONGEST = 300


def clean(text: object, limit: int = _LONGEST) -> str:
    """Make `text` safe for a terminal, a log line or a CSV cell.

    Takes anything (it is turned into a string), gives one line of at most `limit` characters without control
    characters, escape sequences, bidirectional or other invisible format characters (Unicode category Cf, see
    Unicode TR36 section 3.6); white space is folded. Never raises.
    """
    # Cut before the work, so that a huge answer costs bounded time.
    raw = _ESCAPES.sub(" ", str(text)[: limit * 8])
    kept = (character if _harmless(character) else " " for character in raw)
    folded = " ".join("".join(kept).split())
    return folded if len(folded) <= limit else folded[: limit - 1] + "…"


def _harmless(character: str) -> bool:
    return character == " " or not unicodedata.category(character).startswith(("C", "Z"))
