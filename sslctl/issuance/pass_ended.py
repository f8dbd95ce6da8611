"""The exception that ends a pass."""

from __future__ import annotations

from datetime import datetime

from sslctl.issuer import IssueError
from sslctl.rules.budget import BudgetHeld
from sslctl.rules.dns_record import DnsRecord
from sslctl.rules.limits import CA_WIDE
from sslctl.rules.pass_result import UNANSWERED, Problem, Step
from sslctl.rules.reasons import Code


class PassEnded(Exception):
    """The pass ends with this problem; the arguments are those of `Problem`.

    `is_of_ca` is whether the reason is one of the CA alone, so that another CA may issue.
    """

    def __init__(
        self,
        code: Code,
        found: str = "",
        wanted: str = "",
        retry_after: datetime | None = None,
        step: Step | None = None,
        *,
        records: tuple[DnsRecord, ...] = (),
        is_of_ca: bool = False,
    ) -> None:
        super().__init__(code)
        self.is_of_ca = is_of_ca
        self.problem = Problem(code, found, wanted, retry_after, step, records=records)


def ended_at_ca(error: IssueError, retry_after: datetime | None) -> PassEnded:
    """Return the end of a pass that a request to the CA ended with `error`; `retry_after` is the earliest retry.

    That the CA got no answer from DNS was found after our own look at DNS, which found nothing wrong.
    """
    step = Step.CA if error.code in UNANSWERED else None
    return PassEnded(error.code, error.found, error.wanted, retry_after, step, is_of_ca=error.is_of_ca)


def ended_by_budget(held: BudgetHeld) -> PassEnded:
    """Return the end of a pass whose order the budget of a CA holds back."""
    is_of_ca = held.scope.kind in CA_WIDE
    return PassEnded(Code.BUDGET_HELD, held.found, str(held.scope), held.until, is_of_ca=is_of_ca)
