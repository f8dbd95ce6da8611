"""The output of `sslctl list`: tables and CSV, written while the domains are read."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain

from sslctl.cli.output.pager import write_paged
from sslctl.cli.output.phrases import coloured, reason_codes, records_to_set
from sslctl.cli.output.stdout import blocks, write_csv
from sslctl.cli.output.table import StreamedTable
from sslctl.rules.model import DomainSummary, Verdict
from sslctl.rules.onboarding import is_abandoned
from sslctl.rules.readable_names import readable_name
from sslctl.rules.singapore import SGT
from sslctl.rules.snoozing import snoozed_until
from sslctl.rules.status import derive_status, describe_serving
from sslctl.rules.versions import days_left
from sslctl.rules.warnings import find_warnings
from sslctl.store.interface.domains import Listing
from sslctl.text import instant

_HEADERS = ("DOMAIN", "STATUS", "SOURCE", "CREATED", "EXPIRES", "DAYS", "SERVED", "REASON", "WHO ACTS")
_SPARE = ("CREATED", "SOURCE", "SERVED", "EXPIRES", "DAYS")
_DELETED = ("DOMAIN", "SOURCE", "CREATED", "DELETED")
CSV_COLUMNS = (
    "domain", "status", "source", "created_at", "expires_at", "days_left", "served", "reason", "owner", "sentence",
    "deleted_at", "warnings", "sans", "abandoned", "records", "customer", "note", "assignee", "snoozed_until",
    "unconfirmed",
)  # fmt: skip
"""The columns of the CSV."""


def write_domains(listing: Listing, now: datetime, summary: Callable[[], str], *, pager: bool) -> None:
    """Write the table of the managed domains, with their statuses as of `now`.

    A terminal gets it through the pager, if it is long, with the `summary` as its last line.
    """
    table = StreamedTable(_HEADERS, _SPARE, listing.longest_name)
    rows = (_row(domain, now) for domain in listing.domains)
    _write(table, rows, listing.number, summary, pager=pager)


def write_deleted(listing: Listing, summary: Callable[[], str], *, pager: bool) -> None:
    """Write the table of the deleted domains; see `write_domains`."""
    rows = (
        [
            _shown(domain.name) + _count_of_others(domain),
            domain.source,
            _day(domain.created_at),
            _day(domain.deleted_at),
        ]
        for domain in listing.domains
        if domain.deleted_at
    )
    table = StreamedTable(_DELETED, first_width=listing.longest_name)
    _write(table, rows, listing.number, summary, pager=pager)


def _write(
    table: StreamedTable,
    rows: Iterable[Sequence[str]],
    number: int,
    summary: Callable[[], str],
    *,
    pager: bool,
) -> None:
    # A line for the headers, and two for the counts and the next command.
    write_paged(_texts(table, rows, summary), number + 3, pager=pager)


def _texts(table: StreamedTable, rows: Iterable[Sequence[str]], summary: Callable[[], str]) -> Iterator[str]:
    yield from map(table.lay_out, blocks(rows))
    if sys.stdout.isatty():
        yield summary()


def _shown(name: str) -> str:
    """Return `name` in Unicode if standard output is a terminal that has its characters, and it cannot be mistaken."""
    if "xn--" not in name or not sys.stdout.isatty():
        return name
    readable = readable_name(name)
    try:
        readable.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return name
    return readable


def _count_of_others(domain: DomainSummary) -> str:
    """Return how many other names the certificate has, if standard output is a terminal; programs get the name alone."""
    return f" +{len(domain.sans)}" if domain.sans and sys.stdout.isatty() else ""


def _row(domain: DomainSummary, now: datetime) -> list[str]:
    verdict = derive_status(domain, now)
    current = domain.in_service or domain.wanted
    return [
        _shown(domain.name) + _count_of_others(domain),
        coloured(verdict.status),
        domain.source,
        _day(domain.created_at),
        _day(current.not_after) if current else "",
        str(days_left(current, now)) if current else "",
        describe_serving(domain, now),
        *_reason_and_owner(domain, verdict, now),
    ]


def _reason_and_owner(domain: DomainSummary, verdict: Verdict, now: datetime) -> tuple[str, str]:
    """Return the codes of the reason and who must act; of a domain in Success those of its first warning, in brackets.

    A step that did not answer, so that the reason could not be confirmed, follows in brackets.
    """
    doubt = "" if domain.unconfirmed is None else f"({domain.unconfirmed.code})"
    if verdict.code is not None:
        mark = "(abandoned)" if is_abandoned(domain, now) else ""
        return " ".join(filter(None, [reason_codes(verdict), mark, doubt])), verdict.owner or ""
    warning = next(iter(find_warnings(domain, now)), None)
    if warning is not None:
        return f"({warning.code})", warning.owner
    return doubt, ""


def _day(at: datetime) -> str:
    return at.astimezone(SGT).date().isoformat()


def write_domains_csv(domains: Iterable[DomainSummary], now: datetime) -> None:
    """Write `domains` as CSV; see `csv_rows`."""
    write_csv(csv_rows(domains, now))


def csv_rows(domains: Iterable[DomainSummary], now: datetime) -> Iterator[Sequence[object]]:
    """Return the header and a row for each of `domains`; times are RFC 3339 in UTC."""
    return chain([CSV_COLUMNS], (_csv_row(domain, now) for domain in domains))


def _csv_row(domain: DomainSummary, now: datetime) -> list[object]:
    status, *reason = _status_and_reason(domain, now)
    current, until = domain.in_service or domain.wanted, snoozed_until(domain, now)
    return [
        domain.name,
        status,
        domain.source,
        instant(domain.created_at),
        instant(current.not_after) if current else "",
        days_left(current, now) if current else "",
        describe_serving(domain, now),
        *reason,
        instant(domain.deleted_at) if domain.deleted_at else "",
        " ".join(warning.code for warning in find_warnings(domain, now)),
        " ".join(domain.sans),
        "yes" if is_abandoned(domain, now) else "",
        "; ".join(map(str, records_to_set(domain, now))),
        domain.customer,
        domain.remarks.note,
        domain.remarks.assignee,
        instant(until) if until else "",
        domain.unconfirmed.code if domain.unconfirmed else "",
    ]


def _status_and_reason(domain: DomainSummary, now: datetime) -> tuple[str, str, str, str]:
    """Return status, reason codes, owner and sentence; all are empty for a deleted domain."""
    if domain.deleted_at:
        return "", "", "", ""
    verdict = derive_status(domain, now)
    return verdict.status, reason_codes(verdict), verdict.owner or "", verdict.sentence
