"""What the next order of a domain will meet: its ports on C4, DNS, CAA, and the ports of its addresses."""

from __future__ import annotations

from sslctl.control_plane import Record
from sslctl.issuance.observation import find_missing_ports
from sslctl.preflight import PreflightError, Prober
from sslctl.rules.model import Domain
from sslctl.rules.pass_result import Problem


def find_problem(prober: Prober, domain: Domain, record: Record, *, http_expected: bool) -> Problem | None:
    """Return the first problem of an order of `domain`, None if there is none.

    A code that is of warnings only means that an order would succeed. `record` is C4's record of the domain; for
    `http_expected` see `Prober.check`.
    """
    missing = find_missing_ports(record)
    if missing is not None:
        return missing
    try:
        warning = prober.check(domain.names, record.cname_target, http_expected=http_expected)
    except PreflightError as error:
        return Problem(error.code, error.found, error.wanted, step=error.step, records=error.records)
    return None if warning is None else Problem(warning.code, warning.found)
