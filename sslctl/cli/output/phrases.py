"""Phrases that several outputs share: a coloured status, reason codes, times."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import chain

import click

from sslctl.rules.dns_record import DnsRecord, join_records
from sslctl.rules.history_seal import HistoryCut
from sslctl.rules.model import Domain, DomainSummary, Event, Verdict
from sslctl.rules.reasons import REASONS, Code, Status
from sslctl.rules.singapore import format_sgt
from sslctl.rules.status import derive_status
from sslctl.rules.warnings import find_warnings
from sslctl.wording import in_words

_COLOURS = {
    Status.SUCCESS: "green",
    Status.PENDING: "yellow",
    Status.FAILURE: "red",
    Status.EXPIRED: "red",
    Status.EMERGENCY: "magenta",
    Status.DISCARD: "bright_black",
}


def coloured(status: Status) -> str:
    """Return `status` in its colour."""
    return click.style(status, fg=_COLOURS[status])


def reason_codes(verdict: Verdict) -> str:
    """Return the code of the reason and that of the second reason, if there is one; empty for Success."""
    return " ".join(filter(None, [verdict.code, verdict.also.code if verdict.also else None]))


def next_try(domain: Domain, verdict: Verdict, now: datetime) -> str:
    """Return when sslctl tries again; empty if no time is set or the domain is queued.

    It is empty too if a step did not answer: the next try follows that step, and `doubt_lines` has its time.
    """
    if domain.unconfirmed is not None or verdict.retry_at is None or verdict.code is Code.QUEUED:
        return ""
    return "at the next tick" if verdict.retry_at <= now else format_sgt(verdict.retry_at)


def doubt_lines(domain: Domain, now: datetime) -> Iterator[str]:
    """Yield a line for the step that did not answer, and one for each warning about `domain`."""
    unconfirmed = domain.unconfirmed
    if unconfirmed is not None:
        sentence = REASONS[unconfirmed.code].explain(unconfirmed.found, "")
        retry = "at the next tick" if unconfirmed.retry_at <= now else format_sgt(unconfirmed.retry_at)
        yield f"not confirmed since {format_sgt(unconfirmed.since)}, {unconfirmed.code}: {sentence} Next try: {retry}."
    for warning in find_warnings(domain, now):
        kind = "warning" if warning.is_certain else "suspected"
        yield f"{kind}, {warning.code}: {warning.sentence} next ({warning.owner}): {warning.next_step}"


def records_to_set(domain: Domain | DomainSummary, now: datetime) -> tuple[DnsRecord, ...]:
    """Return the DNS records that cure the reason and the warnings of `domain`, without those that are only suspected."""
    if domain.deleted_at is not None:
        return ()
    warnings = [warning.records for warning in find_warnings(domain, now) if warning.is_certain]
    return join_records(chain(derive_status(domain, now).records, *warnings))


def event_kind(event: Event) -> str:
    """Return what kind of event it was, with the version of the certificate that it concerns."""
    kind = in_words(event.kind)
    return kind if event.version is None else f"{kind} v{event.version}"


def overruled_customer(domain: Domain) -> str:
    """Return the customer that C4 named if a person recorded another one, which counts; empty otherwise."""
    recorded, named = domain.remarks.customer, domain.c4_customer
    return named if recorded and named != recorded else ""


def counted(number: int, thing: str) -> str:
    """Return so many things in words: `1 event`, `2,000 events`."""
    return f"1 {thing}" if number == 1 else f"{number:,} {thing}s"


def archived_history(cut: HistoryCut) -> str:
    """Return that older history is not shown, and where it is."""
    return f"history older than {format_sgt(cut.until)} is in archives (`sslctl history list`)"


def domain_or_domains(number: int) -> str:
    """Return the noun that follows `number`."""
    return "domain" if number == 1 else "domains"
