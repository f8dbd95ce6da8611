"""The column of what a person chose for the certificates of a domain."""

from __future__ import annotations

import json
from dataclasses import asdict

from sslctl.rules.certificate_choice import CertificateChoice
from sslctl.store.sql.values import text_of


def choice_of(stored: str) -> CertificateChoice:
    """Return the choice in a stored value. Raise `TypeError` or `ValueError` if it is none."""
    return CertificateChoice(**{key: text_of(value) for key, value in json.loads(stored).items()})


def choice_text(choice: CertificateChoice) -> str | None:
    """Return `choice` as it is stored: None if it is as configured. Equal choices have equal texts."""
    chosen = {key: value for key, value in asdict(choice).items() if value}
    return json.dumps(chosen, sort_keys=True) if chosen else None
