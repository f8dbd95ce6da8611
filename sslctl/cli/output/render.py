"""The only writer of standard output: data, and nothing but data.

For people: text (`table`), coloured on a terminal alone. For programs: JSON (`json_shapes`) or CSV. Everything that came from outside was cleaned before it got here.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar

import click

from sslctl.cli.output.table import Table, hanging, paragraph, table
from sslctl.doctor import Check, Grade
from sslctl.rules import names
from sslctl.rules.model import Certificate, Domain, DomainSummary, Event, RenewalInfo, Verdict
from sslctl.rules.reasons import Code, Status
from sslctl.rules.singapore import SGT, format_sgt
from sslctl.rules.status import derive_status, describe_serving
from sslctl.rules.versions import days_left, version_state
from sslctl.store.interface.domains import Listing
from sslctl.text import instant

T = TypeVar("T")

_COLOURS = {
    Status.SUCCESS: "green",
    Status.PENDING: "yellow",
    Status.FAILURE: "red",
    Status.EXPIRED: "red",
    Status.EMERGENCY: "magenta",
    Status.DISCARD: "bright_black",
}
_GRADES = {Grade.OK: "green", Grade.WARN: "yellow", Grade.BAD: "red"}
_LIST = ("DOMAIN", "STATUS", "SOURCE", "CREATED", "EXPIRES", "DAYS", "SERVED", "REASON", "WHO ACTS")
_SPARE = ("CREATED", "SOURCE", "SERVED", "EXPIRES", "DAYS")
_DELETED = ("DOMAIN", "SOURCE", "CREATED", "DELETED")
_CSV = (
    "domain", "status", "source", "created_at", "expires_at", "days_left", "served", "reason", "owner", "sentence",
    "deleted_at",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@")
_BLOCK = 500

# With `indent`, Python's own encoder would be used, which takes ten times as long.
_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False).encode


def json_object(value: dict[str, Any]) -> None:
    """Write one JSON object."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def json_list(value: dict[str, Any], key: str, elements: Iterable[dict[str, Any]]) -> None:
    """Write `value` as one JSON object with one field more, `key`: an array of `elements`, each on a line of its own."""
    click.echo(f'{_encode(value)[:-1]}, "{key}": [', nl=False)
    separator = "\n"
    for block in _blocks(elements):
        click.echo(separator + ",\n".join(map(_encode, block)), nl=False)
        separator = ",\n"
    click.echo("\n]}")


def _blocks(elements: Iterable[T]) -> Iterator[list[T]]:
    """Part what is long, so that its beginning is written while the rest is still to be made."""
    left = iter(elements)
    while block := list(islice(left, _BLOCK)):
        yield block


def line(text: str) -> None:
    """Write one line of text."""
    click.echo(text)


def lines(texts: Iterable[str]) -> None:
    """Write many lines of text."""
    for block in _blocks(texts):
        click.echo("\n".join(block))


def let_go() -> None:
    """Let what is still written go nowhere: the reader of our output has left (`sslctl list | head`)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def status_word(status: Status) -> str:
    """Give a status, coloured; click takes the colour off where the output is no terminal."""
    return click.style(status, fg=_COLOURS[status])


def domain_table(listing: Listing, now: datetime) -> None:
    """Write the table of `list`."""
    columns = Table(_LIST, _SPARE, listing.longest_name)
    _write_table(columns, (_domain_row(domain, now) for domain in listing.domains))


def deleted_table(listing: Listing) -> None:
    """Write the table of `list --deleted`."""
    rows = (
        [domain.name, domain.source, _day(domain.created_at), _day(domain.deleted_at)]
        for domain in listing.domains
        if domain.deleted_at
    )
    _write_table(Table(_DELETED, first_width=listing.longest_name), rows)


def _write_table(columns: Table, rows: Iterable[Sequence[str]]) -> None:
    for block in _blocks(rows):
        click.echo(columns.lay_out(block))


def _domain_row(domain: DomainSummary, now: datetime) -> list[str]:
    verdict = derive_status(domain, now)
    current = domain.serving or domain.wanted
    return [
        domain.name,
        status_word(verdict.status),
        domain.source,
        _day(domain.created_at),
        _day(current.not_after) if current else "",
        str(days_left(current, now)) if current else "",
        describe_serving(domain, now),
        _code(verdict),
        verdict.owner or "",
    ]


def _code(verdict: Verdict) -> str:
    return " ".join(filter(None, [verdict.code, verdict.also.code if verdict.also else None]))


def _day(at: datetime) -> str:
    return at.astimezone(SGT).date().isoformat()


def domain_csv(domains: Iterable[DomainSummary], now: datetime) -> None:
    """Write `list --csv` (RFC 4180); times are RFC 3339 UTC."""
    click.echo(_csv([_CSV]), nl=False)
    for block in _blocks(domains):
        click.echo(_csv(_csv_row(domain, now) for domain in block), nl=False)


def csv_rows(rows: Iterable[Iterable[object]]) -> None:
    """Write rows of our own numbers and dates as CSV (RFC 4180)."""
    click.echo(_csv(rows), nl=False)


def _csv(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()


def _csv_row(domain: DomainSummary, now: datetime) -> list[object]:
    status, *why = _judged(domain, now)
    current = domain.serving or domain.wanted
    row = [
        domain.name,
        status,
        domain.source,
        instant(domain.created_at),
        instant(current.not_after) if current else "",
        days_left(current, now) if current else "",
        describe_serving(domain, now),
        *why,
        instant(domain.deleted_at) if domain.deleted_at else "",
    ]
    return [_cell(value) for value in row]


def _judged(domain: DomainSummary, now: datetime) -> tuple[str, str, str, str]:
    """Give status, reason, owner and sentence; a deleted domain has none of them."""
    if domain.deleted_at:
        return "", "", "", ""
    verdict = derive_status(domain, now)
    return verdict.status, _code(verdict), verdict.owner or "", verdict.sentence


def _cell(value: object) -> object:
    """Keep a spreadsheet from running text from outside as a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def outcome(domain: Domain, now: datetime) -> None:
    """Write how a pass over `domain` ended: one line, and for trouble who must do what."""
    verdict = derive_status(domain, now)
    head = f"{domain.name}: {status_word(verdict.status)}"
    if verdict.code is None:
        assert domain.serving is not None  # noqa: S101 - Success is served
        expiry = _both(domain.serving.leaf.not_after)
        click.echo(paragraph(f"{head}, {describe_serving(domain, now)}, expires {expiry}"))
        return
    click.echo(paragraph(f"{head} {_code(verdict)}: {verdict.sentence}"))
    if domain.serving is not None:
        click.echo(f"  serving: {describe_serving(domain, now)}")
    step = f"next ({verdict.owner}): {verdict.next_step}{_again(verdict, now)}"
    click.echo(paragraph(step, "  "))


def _again(verdict: Verdict, now: datetime) -> str:
    if verdict.retry_at is None or verdict.code is Code.QUEUED:
        return ""
    if verdict.retry_at <= now:
        return " Taken up again by the next tick."
    return f" Taken up again at {format_sgt(verdict.retry_at)}."


def _both(at: datetime) -> str:
    """Give a time in Singapore time and in UTC."""
    return f"{format_sgt(at)} ({at.astimezone(UTC).strftime('%Y-%m-%d %H:%M UTC')})"


def domain_view(
    domain: Domain, certificates: Sequence[Certificate], events: Sequence[Event], now: datetime
) -> None:
    """Write all of `view`."""
    click.echo(_pairs(_facts(domain, now)))
    current = domain.serving or domain.wanted
    if current is not None:
        click.echo("\nCertificate")
        click.echo(_pairs(_leaf_facts(current)))
    if certificates:
        click.echo("\nVersions")
        click.echo(_versions(certificates, domain, now))
    click.echo("\nHistory")
    click.echo(_history(events))


def _facts(domain: Domain, now: datetime) -> list[tuple[str, str]]:
    verdict = derive_status(domain, now)
    facts = [
        ("Domain", domain.name),
        ("Reads", names.unicode_name(domain.name)),
        ("Other names", ", ".join(domain.sans)),
        ("Status", "deleted" if domain.deleted_at else status_word(verdict.status)),
        ("Source", domain.source),
        ("Serving", describe_serving(domain, now)),
        ("Created", _both(domain.created_at)),
        ("Deleted", _both(domain.deleted_at) if domain.deleted_at else ""),
        ("Last checked", _both(domain.checked_at) if domain.checked_at else "never"),
    ]
    if verdict.code is not None and not domain.deleted_at:
        facts += [
            ("Reason", f"{_code(verdict)}: {verdict.sentence}"),
            ("Who acts", str(verdict.owner)),
            ("Next step", verdict.next_step + _again(verdict, now)),
        ]
    return [(label, text) for label, text in facts if text]


def _leaf_facts(certificate: Certificate) -> list[tuple[str, str]]:
    leaf = certificate.leaf
    return [
        ("Version", str(certificate.version)),
        ("Names", ", ".join(leaf.names)),
        ("Serial", leaf.serial),
        ("SHA-256", leaf.fingerprint),
        ("Issuer", leaf.issuer),
        ("Key type", leaf.key_type),
        ("Valid from", _both(leaf.not_before)),
        ("Valid until", _both(leaf.not_after)),
        *(_renewal_facts(certificate.renewal_info) if certificate.renewal_info else ()),
    ]


def _renewal_facts(info: RenewalInfo) -> list[tuple[str, str]]:
    facts = [
        ("CA's window", f"renewal from {format_sgt(info.start_at)} to {format_sgt(info.end_at)}"),
        ("Time picked", _both(info.renew_at)),
        ("CA explains", info.explanation_url),
    ]
    return [(label, text) for label, text in facts if text]


def _pairs(facts: Iterable[tuple[str, str]]) -> str:
    return hanging((f"{label}:", text) for label, text in facts)


def _versions(certificates: Iterable[Certificate], domain: Domain, now: datetime) -> str:
    rows = [
        (
            str(certificate.version),
            _fate(certificate, domain, now),
            certificate.source,
            format_sgt(certificate.issued_at),
            format_sgt(certificate.leaf.not_after),
            certificate.leaf.fingerprint[:16],
        )
        for certificate in certificates
    ]
    headers = ("VERSION", "FATE", "SOURCE", "ISSUED", "EXPIRES", "SHA-256")
    return textwrap.indent(table(rows, headers, ("SHA-256", "ISSUED")), "  ")


def _fate(certificate: Certificate, domain: Domain, now: datetime) -> str:
    without = ", key destroyed" if certificate.key_destroyed_at else ""
    return version_state(certificate, domain, now) + without


def check(found: Check) -> None:
    """Write one check of `doctor`, and below it what to do."""
    grade = click.style(f"{found.grade:<4}", fg=_GRADES[found.grade])
    click.echo(paragraph(f"{grade}  {found.name}: {found.detail}"))
    if found.hint:
        click.echo(paragraph(found.hint, "      "))


def _history(events: Iterable[Event]) -> str:
    return hanging((format_sgt(event.at), event.actor, _what(event), event.detail) for event in events)


def _what(event: Event) -> str:
    return event.kind if event.version is None else f"{event.kind} (version {event.version})"


def trail(events: Iterable[tuple[str, Event]]) -> None:
    """Write events of many domains, each with the name of its domain."""
    for block in _blocks(events):
        rows = (
            (format_sgt(event.at), event.actor, name, _what(event), event.detail) for name, event in block
        )
        click.echo(hanging(rows))
