"""Values as they are stored, and back: times, texts, names; and our constants as SQL."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

from sslctl.rules.dns_record import DnsRecord
from sslctl.text import clean

_LONGEST_TEXT = 4096

time_of = datetime.fromisoformat
"""Return a stored time as an aware UTC value."""


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


def records_text(records: Iterable[DnsRecord]) -> str | None:
    """Return DNS records as they are stored, None for none: a JSON array of type, name, current and wanted data."""
    rows = [[record.type, record.name, record.current, record.wanted] for record in records]
    return json.dumps(rows) if rows else None


def records_of(text: str | None) -> tuple[DnsRecord, ...]:
    """Return stored DNS records, as they may be shown. Raise `ValueError` if the text is not one of `records_text`."""
    return () if text is None else tuple(_record_of(*row) for row in json.loads(text))


def _record_of(kind: object, name: object, current: object, wanted: object) -> DnsRecord:
    known = _texts_of([kind, name])
    return DnsRecord(known[0], known[1], _texts_of(current), None if wanted is None else _texts_of(wanted))


def _texts_of(values: object) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise ValueError("a DNS record is not as it was stored")
    return tuple(map(text_of, values))


def literals(words: Iterable[str]) -> str:
    """Return constants of ours (codes, statuses) as a list of SQL literals."""
    return ", ".join(f"'{word}'" for word in words)
