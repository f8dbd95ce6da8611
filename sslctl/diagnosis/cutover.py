"""Whether it is safe to point a domain at the CDN that is before its cutover."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from sslctl.control_plane import Record, State
from sslctl.edge.asking import EdgeAnswer
from sslctl.issuance.observation import find_missing_ports, is_one_of
from sslctl.rules.check_steps import CheckStep, StepGrade, StepResult
from sslctl.rules.model import Certificate, Domain
from sslctl.rules.reasons import Code
from sslctl.rules.singapore import format_sgt
from sslctl.rules.versions import is_usable
from sslctl.text import clean
from sslctl.wording import C4


def describe_cutover(
    domain: Domain,
    record: Record | None,
    steps: Sequence[StepResult],
    edges: Sequence[EdgeAnswer],
    now: datetime,
) -> StepResult:
    """Return whether DNS of `domain` may be switched to the CDN now, with the reasons why not.

    `record` is C4's record, None if it is not known. `steps` are about the names of `domain`, `edges` what each edge serves for it.
    """
    ours = [one for one in (domain.serving, domain.wanted) if one is not None]
    installed = None if record is None else record.certificate
    current = next((one for one in ours if is_one_of(installed, one)), None)
    problems = list(_problems(domain, record, current, steps, edges, now))
    if problems or current is None or record is None:
        found = f"It is not safe to switch DNS yet: {'; '.join(problems)}."
        return StepResult(CheckStep.CUTOVER, domain.name, StepGrade.WARN, clean(found, 1000))
    where = [f"active on {C4}"]
    served = [each.edge for each in edges if each.fingerprint]
    if served:
        where.append(
            "served by the only edge"
            if len(served) == 1
            else f"served by all {len(served)} edges that answer"
        )
    elsewhere = [each.name for each in steps if each.code is Code.BEFORE_CUTOVER] or list(domain.names)
    seen = any(each.step is CheckStep.CERTIFICATE and each.grade is StepGrade.OK for each in steps)
    unseen = "" if seen or served else " What the CDN serves was not seen from here."
    found = (
        f"It is safe to switch DNS now: certificate {current.fingerprint[:16]} is {' and '.join(where)}, and valid until"
        f" {format_sgt(current.not_after)}. Set the CNAME of {', '.join(elsewhere)} to {clean(record.cname_target)}.{unseen}"
    )
    return StepResult(CheckStep.CUTOVER, domain.name, StepGrade.OK, clean(found, 1000))


def _problems(
    domain: Domain,
    record: Record | None,
    current: Certificate | None,
    steps: Sequence[StepResult],
    edges: Sequence[EdgeAnswer],
    now: datetime,
) -> Iterator[str]:
    if record is None:
        yield f"{C4}'s record is not known"
        return
    if find_missing_ports(record) is not None:
        yield f"the domain does not use both port 80 and port 443 on {C4}"
    if current is None:
        is_none = record.certificate is None
        yield f"{C4} has {'no certificate' if is_none else 'a certificate that sslctl did not issue'}"
    else:
        yield from _problems_of_certificate(domain, record, current, now)
        yield from _problems_of_edges(current, edges)
    for step in steps:
        if step.step is CheckStep.CERTIFICATE and step.grade is StepGrade.WARN:
            yield f"{step.name} on the CDN: {step.found}"


def _problems_of_certificate(
    domain: Domain, record: Record, current: Certificate, now: datetime
) -> Iterator[str]:
    if record.certificate is not None and record.certificate.state is not State.ACTIVE:
        yield f"{C4} is still activating the certificate"
    if not is_usable(current, domain.names, now):
        yield f"the certificate on {C4} has expired, or lacks a name of the domain"
    if current.revoked_at is not None:
        yield f"the certificate on {C4} is revoked"


def _problems_of_edges(current: Certificate, edges: Sequence[EdgeAnswer]) -> Iterator[str]:
    for each in edges:
        if each.fingerprint == "":
            yield f"edge {each.edge} serves no certificate for it ({each.why})"
        elif each.fingerprint not in (None, current.fingerprint):
            yield f"edge {each.edge} serves another certificate, {each.fingerprint[:16]}"
    if edges and all(each.fingerprint is None for each in edges):
        yield "no edge answers"
