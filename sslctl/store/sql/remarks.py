"""The columns of what people record about a domain. Most domains have nothing, so a query returns all as one value."""

from __future__ import annotations

import json

from sslctl.rules.reasons import Code, Status
from sslctl.rules.remarks import NO_REMARKS, Remarks, Snooze
from sslctl.rules.singapore import format_sgt
from sslctl.store.sql.connection import Dialect
from sslctl.store.sql.values import text_of, time_of
from sslctl.text import instant

# The columns of `Remarks`, in the order of its fields, each with the kind of the event of a change.
_KINDS = {"recorded_customer": "customer", "note": "note", "assignee": "assigned", "snooze": "snoozed"}

CUSTOMER = "coalesce(domain.recorded_customer, nullif(domain.customer, ''))"
"""The SQL expression of a domain's customer (`model.Domain.customer`), NULL if there is none."""
NO_REMARKS_STORED = ", ".join(f"{column} = NULL" for column in _KINDS)
"""The change of a domain that removes its remarks."""


def select_remarks(dialect: Dialect) -> str:
    """Return the SQL expression of a domain's remarks: a JSON array, NULL if there are none."""
    columns = ", ".join(f"domain.{column}" for column in _KINDS)
    return f"CASE WHEN coalesce({columns}) IS NOT NULL THEN {dialect.json_array(columns)} END"


def remarks_of(stored: str | None) -> Remarks:
    """Return the remarks in a value of `select_remarks`."""
    if stored is None:
        return NO_REMARKS
    customer, note, assignee, snooze = json.loads(stored)
    return Remarks(
        text_of(customer or ""), text_of(note or ""), text_of(assignee or ""), snooze and _snooze_of(snooze)
    )


def remark_columns(remarks: Remarks) -> dict[str, str | None]:
    """Return the columns of `remarks` with their values."""
    snooze = remarks.snooze
    return {
        "recorded_customer": remarks.customer or None,
        "note": remarks.note or None,
        "assignee": remarks.assignee or None,
        "snooze": None if snooze is None else _snooze_text(snooze),
    }


def _snooze_of(text: str) -> Snooze:
    values = json.loads(text)
    return Snooze(
        time_of(values["until"]),
        Status(values["status"]),
        frozenset(map(Code, values["codes"])),
        bool(values["dark"]),
    )


def _snooze_text(snooze: Snooze) -> str:
    # Sorted, so that equal values have equal texts, which are compared.
    return json.dumps(
        {
            "until": instant(snooze.until),
            "status": snooze.status,
            "codes": sorted(snooze.codes),
            "dark": snooze.is_dark,
        }
    )


def describe_change(column: str, before: Remarks, after: Remarks) -> tuple[str, str]:
    """Return kind and detail of the event of a change in `column`: the new value and the old one."""
    old, new = _shown(column, before), _shown(column, after)
    return _KINDS[column], f"{new or 'removed'}; was {old}" if old else new


def _shown(column: str, remarks: Remarks) -> str:
    """Return the value of `column` as the history shows it, empty if there is none."""
    if column == "snooze":
        snooze = remarks.snooze
        return f"until {format_sgt(snooze.until)}, in {_trouble(snooze)}" if snooze else ""
    text = {"recorded_customer": remarks.customer, "note": remarks.note, "assignee": remarks.assignee}[column]
    return f'"{text}"' if text else ""


def _trouble(snooze: Snooze) -> str:
    return " ".join([snooze.status, *sorted(snooze.codes)])
