"""The rule of `sslctl.rules.status` in SQL, for filters, sorting and counts over many domains."""

from __future__ import annotations

from sslctl.rules.reasons import Status, codes_of
from sslctl.store.sql.connection import Row
from sslctl.store.sql.values import literals


def codes(status: Status) -> str:
    """Return the codes that mean `status` as a list of SQL literals."""
    return literals(codes_of(status))


# The expiry of the certificate that `status.derive_status` uses; NULL without one.
EXPIRY = "coalesce(domain.foreign_not_after, serving.not_after, wanted.not_after)"

# `status.derive_status` in SQL, for filters and counts over many domains. A property test compares them.
STATUS = f"""CASE
  WHEN domain.finding_code IN ({codes(Status.DISCARD)}) THEN '{Status.DISCARD}'
  WHEN domain.finding_code IN ({codes(Status.EMERGENCY)})
    AND NOT coalesce({EXPIRY} <= :now AND coalesce(wanted.not_after, '') <= :now, FALSE) THEN '{Status.EMERGENCY}'
  WHEN {EXPIRY} <= :now OR domain.finding_code IN ({codes(Status.EXPIRED)}) THEN '{Status.EXPIRED}'
  WHEN domain.finding_code IN ({codes(Status.FAILURE)}) THEN '{Status.FAILURE}'
  WHEN domain.finding_code IN ({codes(Status.PENDING)}) THEN '{Status.PENDING}'
  WHEN domain.serving_id IS NULL AND domain.foreign_not_after IS NULL
    THEN CASE WHEN domain.source = 'text' AND domain.wanted_id IS NULL THEN '{Status.FAILURE}' ELSE '{Status.PENDING}' END
  ELSE '{Status.SUCCESS}' END"""

STATUS_RANK = (
    f"CASE {STATUS} " + " ".join(f"WHEN '{status}' THEN {status.rank}" for status in Status) + " END"
)


def count_of(row: Row) -> tuple[Status, int]:
    """Return a status and its number of domains."""
    return Status(row["status"]), row["number"]
