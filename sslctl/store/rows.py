"""Rows to model values and back, and the SQL copy of the status rule."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from datetime import datetime

from sslctl.model import Certificate, Domain, Event, Finding, Leaf, Order, Source
from sslctl.reasons import Code, Status, codes_of

# fmt: off
_CERTIFICATE = (
    "id", "domain_id", "version", "source", "names", "fingerprint", "serial", "issuer", "key_type", "not_before",
    "not_after", "issued_at", "uploaded_at", "verified_at", "replaced_at", "revoked_at",
)
_DOMAIN = (
    "id", "name", "sans", "source", "created_at", "deleted_at", "checked_at", "revision", "finding_code",
    "finding_found", "finding_wanted", "finding_at", "retry_at",
)
# fmt: on


def _columns(table: str, names: Iterable[str]) -> str:
    return ", ".join(f'{table}.{name} AS "{table}.{name}"' for name in names)


SELECT_CERTIFICATE = f"SELECT {_columns('certificate', _CERTIFICATE)} FROM certificate"  # noqa: S608 - constants

FROM_DOMAIN = (
    "FROM domain LEFT JOIN certificate AS wanted ON wanted.id = domain.wanted_id"
    " LEFT JOIN certificate AS serving ON serving.id = domain.serving_id"
)

SELECT_DOMAIN = (
    f"SELECT {_columns('domain', _DOMAIN)}, {_columns('wanted', _CERTIFICATE)}, {_columns('serving', _CERTIFICATE)}"
    f" {FROM_DOMAIN}"
)


def literals(words: Iterable[str]) -> str:
    """Give words of our own vocabulary (codes, statuses) as a list of SQL literals."""
    return ", ".join(f"'{word}'" for word in words)


def codes(status: Status) -> str:
    """Give the codes that stand for `status` as a list of SQL literals."""
    return literals(codes_of(status))


# When the certificate that `lifecycle.verdict` goes by expires; NULL without one.
EXPIRY = "coalesce(serving.not_after, wanted.not_after)"

# `lifecycle.verdict` in SQL, for filters and counts over many domains; held to it by a property test.
STATUS = f"""CASE
  WHEN domain.finding_code IN ({codes(Status.DISCARD)}) THEN '{Status.DISCARD}'
  WHEN domain.finding_code IN ({codes(Status.EMERGENCY)})
    AND NOT coalesce({EXPIRY} <= :now AND coalesce(wanted.not_after, '') <= :now, 0) THEN '{Status.EMERGENCY}'
  WHEN {EXPIRY} <= :now OR domain.finding_code IN ({codes(Status.EXPIRED)}) THEN '{Status.EXPIRED}'
  WHEN domain.finding_code IN ({codes(Status.FAILURE)}) THEN '{Status.FAILURE}'
  WHEN domain.finding_code IN ({codes(Status.PENDING)}) THEN '{Status.PENDING}'
  WHEN domain.serving_id IS NULL THEN '{Status.PENDING}'
  ELSE '{Status.SUCCESS}' END"""

STATUS_RANK = (
    f"CASE {STATUS} " + " ".join(f"WHEN '{status}' THEN {status.rank}" for status in Status) + " END"
)


def time_of(text: str) -> datetime:
    """Give a stored time as an aware UTC value."""
    return datetime.fromisoformat(text)


def _time_or_none(text: str | None) -> datetime | None:
    return None if text is None else time_of(text)


def names_text(names: Iterable[str]) -> str:
    """Give names as stored: a JSON array."""
    return json.dumps(list(names))


def _names(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


def certificate_of(row: sqlite3.Row, table: str = "certificate") -> Certificate:
    """Read a certificate out of a row that selects it under the name `table`."""
    leaf = Leaf(
        names=_names(row[f"{table}.names"]),
        fingerprint=row[f"{table}.fingerprint"],
        serial=row[f"{table}.serial"],
        issuer=row[f"{table}.issuer"],
        key_type=row[f"{table}.key_type"],
        not_before=time_of(row[f"{table}.not_before"]),
        not_after=time_of(row[f"{table}.not_after"]),
    )
    return Certificate(
        id=row[f"{table}.id"],
        domain_id=row[f"{table}.domain_id"],
        version=row[f"{table}.version"],
        source=Source(row[f"{table}.source"]),
        leaf=leaf,
        issued_at=time_of(row[f"{table}.issued_at"]),
        uploaded_at=_time_or_none(row[f"{table}.uploaded_at"]),
        verified_at=_time_or_none(row[f"{table}.verified_at"]),
        replaced_at=_time_or_none(row[f"{table}.replaced_at"]),
        revoked_at=_time_or_none(row[f"{table}.revoked_at"]),
    )


def domain_of(row: sqlite3.Row) -> Domain:
    """Read a domain with its wanted and serving certificates."""
    wanted = None if row["wanted.id"] is None else certificate_of(row, "wanted")
    serving = wanted
    if row["serving.id"] != row["wanted.id"]:
        serving = None if row["serving.id"] is None else certificate_of(row, "serving")
    return Domain(
        id=row["domain.id"],
        name=row["domain.name"],
        sans=_names(row["domain.sans"]),
        source=Source(row["domain.source"]),
        created_at=time_of(row["domain.created_at"]),
        deleted_at=_time_or_none(row["domain.deleted_at"]),
        checked_at=_time_or_none(row["domain.checked_at"]),
        finding=_finding(row),
        wanted=wanted,
        serving=serving,
        revision=row["domain.revision"],
    )


def _finding(row: sqlite3.Row) -> Finding | None:
    if row["domain.finding_code"] is None:
        return None
    return Finding(
        code=Code(row["domain.finding_code"]),
        found=row["domain.finding_found"],
        wanted=row["domain.finding_wanted"],
        at=time_of(row["domain.finding_at"]),
        retry_at=_time_or_none(row["domain.retry_at"]),
    )


def count_of(row: sqlite3.Row) -> tuple[Status, int]:
    """Read how many domains are in which status."""
    return Status(row["status"]), row["number"]


def order_of(row: sqlite3.Row) -> Order:
    """Read an order from a row of `SELECT * FROM acme_order`."""
    return Order(
        id=row["id"],
        domain_id=row["domain_id"],
        names=_names(row["names"]),
        csr_pem=row["csr_pem"],
        opened_at=time_of(row["opened_at"]),
        url=row["url"],
    )


def event_of(row: sqlite3.Row) -> Event:
    """Read an event from a row of `SELECT * FROM event`."""
    return Event(
        id=row["id"],
        domain_id=row["domain_id"],
        at=time_of(row["at"]),
        actor=row["actor"],
        kind=row["kind"],
        detail=row["detail"],
        version=row["version"],
    )
