"""One diagnosis: C4's record first, because it names the target; then each name, and the CA's limits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from sslctl.control_plane import (
    ControlPlane,
    ControlPlaneError,
    Installed,
    Record,
    Unauthorized,
    UnknownDomain,
)
from sslctl.diagnosis import Diagnosis, Subject
from sslctl.diagnosis.cutover import describe_cutover
from sslctl.diagnosis.served import Expected, ServedCheck
from sslctl.edge.asking import EdgeAnswer
from sslctl.issuance.observation import find_missing_ports, is_one_of
from sslctl.preflight.inspection import Inspector
from sslctl.rules.check_steps import CheckStep, StepGrade, StepResult
from sslctl.rules.model import Source
from sslctl.rules.pass_result import Step, step_of
from sslctl.rules.reasons import FINDINGS, Code
from sslctl.rules.singapore import format_both, format_sgt
from sslctl.rules.versions import is_expired
from sslctl.system.threads import map_in_threads
from sslctl.text import clean
from sslctl.wording import C4

_MOST_AT_ONCE = 8
_DNS_SECONDS = 25


class Diagnoser:
    """The checks of a name. Without state, so safe for use by many threads.

    With `http_expected` something must listen on port 80 already, as in `Prober.check`. `ask_edges` asks the configured edges for the
    certificate of a name.
    """

    def __init__(
        self,
        control_plane: ControlPlane,
        inspector: Inspector,
        served: ServedCheck,
        *,
        clock: Callable[[], datetime],
        http_expected: bool,
        ask_edges: Callable[[str], Sequence[EdgeAnswer]] = lambda _name: (),
    ) -> None:
        self._c4 = control_plane
        self._inspector = inspector
        self._served = served
        self._clock = clock
        self._http_expected = http_expected
        self._ask_edges = ask_edges

    def diagnose(self, subject: Subject) -> Diagnosis:
        """Return what an order of `subject` would meet now. What does not answer is a result, too.

        No lookup of DNS begins after 25 seconds, so that the whole ends within a minute, also with many names.
        """
        until = time.monotonic() + _DNS_SECONDS
        record, seen = self._look_up(subject)
        steps = [seen]
        if record is not None:
            steps.append(_ports(subject, record))
        examine = self._examiner(record, subject, until)
        # The threads do not keep an interrupted process alive.
        found = map_in_threads(
            examine, subject.names, _MOST_AT_ONCE, "check_name", wait=False, is_daemon=True
        )
        for of_name in found:
            steps += of_name
        steps += _ca(subject)
        domain = subject.domain
        if domain is not None and domain.before_cutover_since is not None:
            edges = self._ask_edges(domain.name)
            steps.append(describe_cutover(domain, record, steps, edges, self._clock()))
        return Diagnosis(subject, tuple(steps), _customer(subject, record))

    def _look_up(self, subject: Subject) -> tuple[Record | None, StepResult]:
        """Return C4's record, None if there is none, and the step about it."""
        name = subject.name

        def bad(code: Code, found: str) -> tuple[None, StepResult]:
            return None, StepResult(CheckStep.C4, name, StepGrade.BAD, found, "a record", code)

        try:
            record = self._c4.domain(name)
        except UnknownDomain:
            return bad(Code.C4_UNKNOWN_DOMAIN, f"{C4} has no such domain")
        except Unauthorized as error:
            return bad(Code.C4_TOKEN_REFUSED, str(error))
        except ControlPlaneError as error:
            return bad(Code.C4_UNANSWERED, str(error))
        found = [
            f"CNAME target {clean(record.cname_target) or 'not named'}",
            _describe(record.certificate),
        ]
        code = _find_remark(subject, record.certificate, self._clock())
        grade = StepGrade.OK if code is None else StepGrade.WARN
        return record, StepResult(CheckStep.C4, name, grade, "; ".join(found), code=code)

    def _examiner(
        self, record: Record | None, subject: Subject, until: float
    ) -> Callable[[str], list[StepResult]]:
        """Return a function that checks one name of the certificate."""
        target = "" if record is None else record.cname_target
        installed = None if record is None else record.certificate
        on_c4 = "" if record is None else None if installed is None else installed.fingerprint
        ours = None if subject.domain is None else subject.domain.serving
        is_before = subject.domain is not None and subject.domain.before_cutover_since is not None
        expected = Expected(on_c4, "" if ours is None else ours.fingerprint)

        def examine(name: str) -> list[StepResult]:
            inspected = self._inspector.inspect(
                name, target, http_expected=self._http_expected, until=until, is_before_cutover=is_before
            )
            served = self._served.describe(name, inspected.addresses, expected, self._clock())
            return [*inspected.steps, served]

        return examine


def _describe(installed: Installed | None) -> str:
    if installed is None:
        return "no certificate installed"
    return (
        f"the {installed.source} certificate {installed.fingerprint[:16]} is {installed.state},"
        f" valid until {format_sgt(installed.not_after)}"
    )


def _find_remark(subject: Subject, installed: Installed | None, now: datetime) -> Code | None:
    """Return the code of what is remarkable about the certificate on C4: it prevents no order. None if nothing is."""
    domain = subject.domain
    ours = () if domain is None else (domain.serving, domain.wanted)
    if installed is None:
        was_served = domain is not None and domain.serving is not None and not is_expired(domain.serving, now)
        return Code.C4_LOST if was_served else None
    if installed.source is Source.TEXT and not is_expired(installed, now) and not is_one_of(installed, *ours):
        return Code.FOREIGN_TEXT
    return None


def _customer(subject: Subject, record: Record | None) -> str:
    """Return the customer: the recorded one, the one in C4's `record`, or the one that C4 named before; empty without one."""
    domain = subject.domain
    recorded, before = ("", "") if domain is None else (domain.remarks.customer, domain.c4_customer)
    return recorded or (record and record.customer) or before


def _ports(subject: Subject, record: Record) -> StepResult:
    missing = find_missing_ports(record)
    if missing is None:
        return StepResult(CheckStep.PORTS, subject.name, StepGrade.OK, "port 80 and port 443")
    return StepResult(
        CheckStep.PORTS, subject.name, StepGrade.BAD, missing.found, missing.wanted, missing.code
    )


def _ca(subject: Subject) -> Iterator[StepResult]:
    """Yield what the CA, or a pause, allows: when an order may be placed, and how the last one ended."""
    name, domain, hold = subject.name, subject.domain, subject.hold
    if subject.trouble:
        yield StepResult(
            CheckStep.CA,
            name,
            StepGrade.SKIPPED,
            clean(f"the CA's limits are not known: {subject.trouble}"),
        )
        return
    if hold is not None:
        found = f"{hold.found}; the next order may be placed {format_both(hold.until)}"
        yield StepResult(CheckStep.CA, name, StepGrade.BAD, clean(found), "", hold.code)
    else:
        left = subject.orders_left
        budget = "" if left is None else f"; {left:,} new orders are left"
        yield StepResult(CheckStep.CA, name, StepGrade.OK, f"an order may be placed now{budget}")
    finding = None if domain is None else domain.finding
    if (
        finding is not None
        and finding.code in FINDINGS
        and step_of(finding.code) is Step.CA
        and finding.code is not Code.BUDGET_HELD
    ):
        # The CA refuses a paused name until a person opens the link.
        grade = StepGrade.BAD if finding.code is Code.CA_PAUSED else StepGrade.WARN
        found = f"the last order, at {format_sgt(finding.at)}: {finding.found}"
        yield StepResult(CheckStep.CA, name, grade, clean(found), finding.wanted, finding.code)
