"""What the next order of a domain will meet: its ports on C4, DNS, CAA, the ports of its addresses, and its challenge."""

from __future__ import annotations

from datetime import datetime

from sslctl.control_plane import Record
from sslctl.issuance.observation import find_missing_ports
from sslctl.issuer import IssueError
from sslctl.preflight import PreflightError, Prober, Publisher
from sslctl.rules.model import Domain
from sslctl.rules.pass_result import Problem
from sslctl.rules.schedule import is_first_order
from sslctl.store.interface.maintenance_pauses import MaintenancePauses


def find_problem(
    prober: Prober,
    domain: Domain,
    record: Record,
    *,
    http_expected: bool,
    publisher: Publisher | None = None,
) -> Problem | None:
    """Return the first problem of an order of `domain`, None if there is none.

    A code that is of warnings only means that an order would succeed. `record` is C4's record of the domain; for
    `http_expected` and `publisher` see `Prober.check`. If `publisher` raises `IssueError`, an order would meet the same.
    """
    missing = find_missing_ports(record)
    if missing is not None:
        return missing
    try:
        warning = prober.check(
            domain.names, record.cname_target, http_expected=http_expected, publisher=publisher
        )
    except IssueError as error:
        return Problem(error.code, error.found, error.wanted)
    except PreflightError as error:
        return Problem(error.code, error.found, error.wanted, step=error.step, records=error.records)
    return None if warning is None else Problem(warning.code, warning.found)


def find_publisher(
    publisher: Publisher, domain: Domain, pauses: MaintenancePauses, now: datetime
) -> Publisher | None:
    """Return `publisher` if a token is to be fetched before an order of `domain`, None otherwise.

    Only a first order is held back by a token: a renewal must not depend on what this machine sees. While orders are paused
    for maintenance, the edge may answer otherwise than usual.
    """
    return publisher if is_first_order(domain, now) and pauses.maintenance_pause(now) is None else None
