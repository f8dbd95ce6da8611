"""What an order of a name would meet now, step by step. Nothing is ordered, uploaded or recorded.

`record` reads C4's record, `served` what the edge serves, `ca_budget` the limits of the CA; DNS, CAA and ports are
`preflight.inspection`. `diagnose` puts them together.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sslctl.errors import Exit
from sslctl.rules.check_steps import StepGrade, StepResult, find_first_problem
from sslctl.rules.dns_record import DnsRecord, join_records
from sslctl.rules.model import Domain
from sslctl.rules.pass_result import UNANSWERED, Step, step_of
from sslctl.rules.reasons import REASONS, Code, Status
from sslctl.wording import C4

_EXIT = {
    Status.PENDING: Exit.PENDING,
    Status.FAILURE: Exit.FAILURE,
    Status.DISCARD: Exit.DISCARD,
}


@dataclass(frozen=True, slots=True)
class Hold:
    """What holds back an order until `until`: a limit or a pause of the CA, or a maintenance pause. `found` is cleaned text."""

    code: Code
    found: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Subject:
    """A name to check. `asked` is the normalised name; `domain` has the certificate with it, None if no managed domain has it.

    `hold` is what holds back an order of the names, None if nothing does. `orders_left` is how many orders that are no renewals
    the CA takes now, None without a limit. If the state cannot be read, `trouble` says why, and nothing else is known.
    """

    asked: str
    domain: Domain | None = None
    hold: Hold | None = None
    orders_left: int | None = None
    trouble: str = ""

    @property
    def name(self) -> str:
        """The domain whose certificate is ordered."""
        return self.asked if self.domain is None else self.domain.name

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that the certificate must have, the domain itself first."""
        return (self.asked,) if self.domain is None else self.domain.names


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The steps of one name, in the order in which an order meets them. `customer` is the recorded one or C4's; or empty."""

    subject: Subject
    steps: tuple[StepResult, ...]
    customer: str = ""

    @property
    def problem(self) -> StepResult | None:
        """The problem that an order would meet; None if it would succeed."""
        return find_first_problem(self.steps)

    @property
    def sentence(self) -> str:
        """What the problem means; empty without one."""
        problem = self.problem
        if problem is None or problem.code is None:
            return ""
        return REASONS[problem.code].explain(problem.found, problem.wanted)

    def next_step(self, code: Code) -> str:
        """Return what to do about `code`. The table of reasons speaks about managed domains."""
        is_unmanaged = self.subject.domain is None and not self.subject.trouble
        if code is Code.C4_UNKNOWN_DOMAIN and is_unmanaged:
            return f"Create it in {C4}, then `sslctl add {self.subject.name}`."
        return REASONS[code].next_step

    @property
    def tasks(self) -> tuple[Code, ...]:
        """The codes of everything that must be solved, each once, in the order of the steps."""
        return tuple(
            dict.fromkeys(
                step.code for step in self.steps if step.grade is StepGrade.BAD and step.code is not None
            )
        )

    @property
    def records(self) -> tuple[DnsRecord, ...]:
        """The DNS records that must be set before an order succeeds."""
        bad = (step.records for step in self.steps if step.grade is StepGrade.BAD)
        return join_records(record for records in bad for record in records)

    @property
    def exit_code(self) -> Exit:
        """The exit code: that of what an order would meet (README, "Exit codes")."""
        problem = self.problem
        if problem is None:
            return Exit.OK
        assert problem.code is not None  # noqa: S101 - every bad step has a code
        if problem.code in UNANSWERED and step_of(problem.code) is not Step.CA:
            return Exit.TRY_LATER
        return _EXIT[REASONS[problem.code].status]
