"""Values as they are stored, and back: times, texts, names; and our constants as SQL."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

from sslctl.text import clean

_LONGEST_TEXT = 4096


def time_of(text: str) -> datetime:
    """Return a stored time as an aware UTC value."""
    return datetime.fromisoformat(text)


def optional_time_of(text: str | None) -> datetime | None:
    """Return a stored time that may be missing."""
    return None if text is None else datetime.fromisoformat(text)


def text_of(stored: str) -> str:
    """Return a stored text as it may be shown.

    It was cleaned before it was stored. But whoever can write to the database, or made the backup that was restored, could
    have put escape sequences or bidirectional characters into it, which a terminal would obey.
    """
    return stored if stored.isascii() and stored.isprintable() else clean(stored, _LONGEST_TEXT)


def names_text(names: Iterable[str]) -> str:
    """Return names as they are stored: a JSON array."""
    return json.dumps(list(names))


def names_of(text: str) -> tuple[str, ...]:
    """Return stored names, as they may be shown."""
    return () if text == "[]" else tuple(map(text_of, json.loads(text)))


def literals(words: Iterable[str]) -> str:
    """Return constants of ours (codes, statuses) as a list of SQL literals."""
    return ", ".join(f"'{word}'" for word in words)
