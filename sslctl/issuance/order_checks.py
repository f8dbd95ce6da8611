"""What the next order of a domain will meet: its ports on C4, DNS, CAA, the ports of its addresses, and its challenge."""

from __future__ import annotations

from datetime import datetime, timedelta

from sslctl.control_plane import Record
from sslctl.issuance.observation import find_missing_ports
from sslctl.issuance.pass_ended import PassEnded
from sslctl.issuer import IssueError
from sslctl.preflight import PreflightError, Prober, Publisher
from sslctl.rules.model import Domain
from sslctl.rules.pass_result import Problem
from sslctl.rules.reasons import FINDINGS, Code
from sslctl.rules.schedule import is_first_order
from sslctl.store.interface.cutovers import Cutovers
from sslctl.store.interface.maintenance_pauses import MaintenancePauses

CUTOVER_WITHIN = timedelta(days=30)
"""A domain that waits longer for its cutover needs a person."""


def find_problem(
    prober: Prober,
    domain: Domain,
    record: Record,
    *,
    http_expected: bool,
    cutovers: Cutovers,
    now: datetime,
    publisher: Publisher | None = None,
) -> Problem | None:
    """Return the first problem of an order of `domain`, None if there is none.

    A domain before its cutover may point elsewhere. As soon as it points at the CDN, this ends, which is recorded in `cutovers`.
    A code that is of warnings only means that an order would succeed. `record` is C4's record of the domain; for
    `http_expected` and `publisher` see `Prober.check`. If `publisher` raises `IssueError`, an order would meet the same.
    """
    missing = find_missing_ports(record)
    if missing is not None:
        return missing
    names, target = domain.names, record.cname_target
    try:
        if domain.before_cutover_since is not None:
            waits = prober.check_before_cutover(names, target, publisher=publisher)
            if waits is not None:
                is_late = now - domain.before_cutover_since >= CUTOVER_WITHIN
                code = Code.CUTOVER_LATE if is_late else waits.code
                return Problem(code, waits.found, waits.wanted, records=waits.records)
            cutovers.end_cutover(domain, "the domain points at the CDN")
        warning = prober.check(names, target, http_expected=http_expected, publisher=publisher)
    except IssueError as error:
        return Problem(error.code, error.found, error.wanted)
    except PreflightError as error:
        return Problem(error.code, error.found, error.wanted, step=error.step, records=error.records)
    return None if warning is None else Problem(warning.code, warning.found)


def require_no_problem(problem: Problem | None, warnings: list[Problem]) -> None:
    """Raise `PassEnded` if `problem` would make an order fail; add it to `warnings` if it would not."""
    if problem is not None and problem.code in FINDINGS:
        raise PassEnded(
            problem.code, problem.found, problem.wanted, step=problem.step, records=problem.records
        )
    if problem is not None:
        warnings.append(problem)


def find_publisher(
    publisher: Publisher, domain: Domain, pauses: MaintenancePauses, now: datetime
) -> Publisher | None:
    """Return `publisher` if a token is to be fetched before an order of `domain`, None otherwise.

    Only a first order, and each one before the cutover, is held back by a token: another renewal must not depend on what this
    machine sees. While orders are paused for maintenance, the edge may answer otherwise than usual.
    """
    is_held_back = is_first_order(domain, now) or domain.before_cutover_since is not None
    return publisher if is_held_back and pauses.maintenance_pause(now) is None else None
