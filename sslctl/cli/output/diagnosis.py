"""The output of `sslctl check` about one name: each step with its grade, then the records to set and whose turn it is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime

import click

from sslctl.cli.output.phrases import coloured, reason_codes
from sslctl.cli.output.records import records_text
from sslctl.cli.output.shell import command_line, write_next
from sslctl.cli.output.stdout import write_line
from sslctl.cli.output.table import table
from sslctl.cli.output.width import paragraph
from sslctl.diagnosis import Diagnosis
from sslctl.rules.check_steps import CheckStep, Hop, StepGrade, StepResult, describe_chain
from sslctl.rules.model import Source
from sslctl.rules.next_command import next_words
from sslctl.rules.reasons import REASONS, Owner, Status
from sslctl.rules.status import derive_status
from sslctl.rules.unreached import Unreached, find_unreached
from sslctl.wording import C4

_COLOURS = {
    StepGrade.OK: "green",
    StepGrade.WARN: "yellow",
    StepGrade.BAD: "red",
    StepGrade.SKIPPED: "bright_black",
}
_SYMBOLS = {StepGrade.OK: "✓", StepGrade.WARN: "!", StepGrade.BAD: "✗", StepGrade.SKIPPED: "·"}
_ASCII_SYMBOLS = {StepGrade.OK: "ok", StepGrade.WARN: "!", StepGrade.BAD: "x", StepGrade.SKIPPED: "-"}
_ASCII = str.maketrans({"→": "->", "…": "..."})
_LABELS = {
    CheckStep.C4: "record",
    CheckStep.PORTS: "ports",
    CheckStep.CNAME: "CNAME",
    CheckStep.ADDRESSES: "A and AAAA",
    CheckStep.DNSSEC: "DNSSEC",
    CheckStep.CAA: "CAA",
    CheckStep.RESOLVERS: "resolvers",
    CheckStep.PORT_80: "port 80",
    CheckStep.PORT_443: "port 443",
    CheckStep.CERTIFICATE: "certificate",
    CheckStep.CA: "CA",
    CheckStep.CUTOVER: "cutover",
}
_OF_DOMAIN = (CheckStep.C4, CheckStep.PORTS, CheckStep.CA, CheckStep.CUTOVER)
_INDENT = "  "


def write_diagnosis(diagnosis: Diagnosis, now: datetime) -> None:
    """Write the steps of `diagnosis`, the records to set and whose turn it is. The status of the domain is that at `now`."""
    for text in _paragraphs(diagnosis, now):
        write_line(text if _can_print("✓✗→") else text.translate(_ASCII))
    write_next(_next_words(diagnosis))


def _paragraphs(diagnosis: Diagnosis, now: datetime) -> Iterator[str]:
    yield _heading(diagnosis, now)
    rows = [_row(step, diagnosis) for step in diagnosis.steps if step.step is not CheckStep.CUTOVER]
    yield table(rows, indent=_INDENT)
    records = diagnosis.records
    if records:
        yield f"\n{records_text(records, _INDENT)}"
    yield ""
    yield from _conclusion(diagnosis, now)
    yield from (paragraph(step.found) for step in diagnosis.steps if step.step is CheckStep.CUTOVER)


def _heading(diagnosis: Diagnosis, now: datetime) -> str:
    subject = diagnosis.subject
    domain = subject.domain
    of_customer = f", customer {diagnosis.customer}" if diagnosis.customer else ""
    if domain is None:
        known = "not known whether it is managed here" if subject.trouble else "not managed here"
        return f"{subject.asked}: {known}{of_customer}"
    verdict = derive_status(domain, now)
    status = " ".join(filter(None, [coloured(verdict.status), reason_codes(verdict)]))
    whose = f"{subject.asked}: another name of the certificate of {domain.name}"
    head = f"{domain.name}: managed" if subject.asked == domain.name else whose
    return f"{head}, {status}{of_customer}"


def _row(step: StepResult, diagnosis: Diagnosis) -> tuple[str, str, str]:
    symbols = _SYMBOLS if _can_print("✓✗→") else _ASCII_SYMBOLS
    symbol = click.style(symbols[step.grade], fg=_COLOURS[step.grade])
    is_of_name = len(diagnosis.subject.names) > 1 and step.step not in _OF_DOMAIN
    label = f"{step.name} {_label(step.step)}" if is_of_name else _label(step.step)
    return symbol, label, "\n".join(_lines(step))


def _label(step: CheckStep) -> str:
    """Return what `step` is about, beginning with the control plane if it was asked."""
    return f"{C4:bare} {_LABELS[step]}" if step in (CheckStep.C4, CheckStep.PORTS) else _LABELS[step]


def _lines(step: StepResult) -> Iterator[str]:
    """Yield the hops of `step`, what was found, and what is wanted unless it is there."""
    if step.step is CheckStep.CNAME or len(step.hops) > 1 or step.grade is StepGrade.BAD:
        yield from map(_hop, step.hops)
    code = "" if step.code is None else f" ({step.code})"
    is_shown = step.step is CheckStep.CNAME and step.found == describe_chain(step.hops)
    if code or not is_shown:
        yield code.strip() if is_shown else f"{step.found}{code}"
    if step.wanted and step.grade is not StepGrade.OK:
        yield f"wanted: {step.wanted}"


def _conclusion(diagnosis: Diagnosis, now: datetime) -> Iterator[str]:
    if diagnosis.problem is None:
        yield paragraph("An order would succeed now. Nobody has to act before it.")
        yield from _next_command(diagnosis, now)
        return
    for code in diagnosis.tasks:
        step = next(each for each in diagnosis.steps if each.code is code and each.grade is StepGrade.BAD)
        reason = REASONS[code]
        yield paragraph(f"{code}: {reason.explain(step.found, step.wanted)}")
        turn = "nobody: waiting is enough" if reason.owner is Owner.NOBODY else str(reason.owner)
        yield paragraph(f"turn: {turn}. {diagnosis.next_step(code)}", _INDENT)
    yield from map(paragraph, _describe_unreached(diagnosis, now))


def _describe_unreached(diagnosis: Diagnosis, now: datetime) -> Iterator[str]:
    """Yield that visitors do not see the certificate on the CDN, if that is so."""
    domain = diagnosis.subject.domain
    unreached = None if domain is None else find_unreached(domain, diagnosis.tasks, now)
    if unreached is not None:
        visitors = "visitors" if unreached is Unreached.ALL else "some visitors"
        yield f"At present {visitors} do not reach the CDN, so they do not see the certificate that is installed there."


def _next_command(diagnosis: Diagnosis, now: datetime) -> Iterator[str]:
    """Yield what makes sslctl place the order, or that none is needed."""
    name, domain = diagnosis.subject.name, diagnosis.subject.domain
    if domain is None:
        yield f"next: `{command_line('add', name)}` orders a certificate"
    elif domain.source is Source.TEXT:
        yield f"next: none; `{command_line('add', name)}` would replace the text certificate, which sslctl does not renew"
    elif derive_status(domain, now).status is Status.SUCCESS:
        yield "next: none; the tick renews the certificate when it is due"
    else:
        yield f"next: `{command_line('recheck', name)}` makes the next attempt at once; otherwise a tick does"


def _next_words(diagnosis: Diagnosis) -> list[str]:
    """Return the words after `sslctl` of the command for the problem of `diagnosis`; empty without one."""
    problem, subject = diagnosis.problem, diagnosis.subject
    if problem is None or problem.code is None:
        return []
    if subject.domain is not None:
        return next_words(problem.code, [subject.name], subject.domain.source)
    # A managed domain is looked at until its DNS is right.
    is_of_customer = REASONS[problem.code].owner is Owner.CUSTOMER
    return ["add", "--no-wait", subject.name] if is_of_customer and not subject.trouble else []


def _hop(hop: Hop) -> str:
    at = f" at {hop.address}" if hop.address else ""
    status = "" if hop.status is None else f": {hop.status}"
    return f"{hop.at}{at}{status} → {hop.to}" if hop.to else f"{hop.at}{at}{status}"


def _can_print(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
