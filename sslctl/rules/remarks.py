"""What people record about a domain: its customer, a note, who takes care of it, and a snooze.

The texts are shown to other people, in terminals and in files. So they are cleaned, and one that is too long is refused: nobody
would notice the part that was cut off.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sslctl.errors import BadInput, Problem
from sslctl.rules.reasons import Code, Status
from sslctl.text import clean

LONGEST_CUSTOMER = 100
"""The most characters of a customer's name, also of one that C4 names."""
LONGEST_ASSIGNEE = 100
LONGEST_NOTE = 500


@dataclass(frozen=True, slots=True)
class Snooze:
    """A person's decision that the trouble of a domain needs nobody before `until` (`rules.snoozing`).

    The other fields describe that trouble: the status, the codes that somebody must act on, and whether nothing valid was served.
    """

    until: datetime
    status: Status
    codes: frozenset[Code]
    is_dark: bool


@dataclass(frozen=True, slots=True)
class Remarks:
    """What people recorded about a domain. The texts are cleaned, and empty if there is none.

    `customer` counts, whatever C4 names. `assignee` is who takes care of the domain.
    """

    customer: str = ""
    note: str = ""
    assignee: str = ""
    snooze: Snooze | None = None


NO_REMARKS = Remarks()


def read_customer(text: str) -> str:
    """Return the cleaned name of a customer, empty if `text` is. Raise `BadInput` if it cannot be used."""
    return _read(text, "customer's name", LONGEST_CUSTOMER, "customer")


def read_assignee(text: str) -> str:
    """Return the cleaned name of who takes care of a domain, empty if `text` is. Raise `BadInput` if it cannot be used."""
    return _read(text, "name", LONGEST_ASSIGNEE, "assignee")


def read_note(text: str) -> str:
    """Return a cleaned note, empty if `text` is. Raise `BadInput` if it cannot be used."""
    return _read(text, "note", LONGEST_NOTE, "note")


def _read(text: str, what: str, longest: int, key: str) -> str:
    """Return the cleaned `text`. The problem of an error is `KEY.long` or `KEY.invisible`."""
    if not text:
        # As in nearly all rows of a list of a hundred thousand names.
        return ""
    # `clean` would cut a much longer text before it is counted.
    cleaned = clean(text, 8 * longest) if len(text) <= 8 * longest else text
    if len(cleaned) > longest:
        raise BadInput(
            f"the {what} has {len(cleaned)} characters; the most is {longest}",
            problem=Problem(f"{key}.long", {"number": len(cleaned), "most": longest}),
        )
    if text.strip() and not cleaned:
        raise BadInput(f"the {what} has no visible character", problem=Problem(f"{key}.invisible"))
    return cleaned
