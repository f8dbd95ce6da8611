"""The only writer of standard output: data, and nothing but data.

For people: aligned text, coloured on a terminal alone, cut to its width there and nowhere else. For programs: JSON
(`wire`) or CSV. Everything that came from outside was cleaned before it got here.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from tabulate import tabulate

from sslctl import lifecycle
from sslctl.model import Certificate, Domain, Event, Verdict
from sslctl.reasons import Code, Status
from sslctl.text import instant

_COLOURS = {
    Status.SUCCESS: "green",
    Status.PENDING: "yellow",
    Status.FAILURE: "red",
    Status.EXPIRED: "red",
    Status.EMERGENCY: "magenta",
    Status.DISCARD: "bright_black",
}
_LIST = ("DOMAIN", "STATUS", "SOURCE", "CREATED", "EXPIRES", "DAYS", "SERVED", "REASON", "WHO ACTS")
_SPARE = ("CREATED", "SOURCE", "SERVED")
_DELETED = ("DOMAIN", "SOURCE", "CREATED", "DELETED")
_CSV = (
    "domain", "status", "source", "created_at", "expires_at", "days_left", "served", "reason", "owner", "sentence",
    "deleted_at",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@")
_RESET = "\x1b[0m"


def json_object(value: dict[str, Any]) -> None:
    """Write one JSON object."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def line(text: str) -> None:
    """Write one line of text."""
    click.echo(text)


def let_go() -> None:
    """Let what is still written go nowhere: the reader of our output has left (`sslctl list | head`)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def status_word(status: Status) -> str:
    """Give a status, coloured; click takes the colour off where the output is no terminal."""
    return click.style(status, fg=_COLOURS[status])


def domain_table(domains: Sequence[Domain], now: datetime) -> None:
    """Write the table of `list`."""
    _table([_domain_row(domain, now) for domain in domains], _LIST, spare=_SPARE)


def deleted_table(domains: Iterable[Domain]) -> None:
    """Write the table of `list --deleted`."""
    rows = [
        [domain.name, domain.source, _day(domain.created_at), _day(domain.deleted_at)]
        for domain in domains
        if domain.deleted_at
    ]
    _table(rows, _DELETED)


def _table(rows: Sequence[Sequence[str]], headers: Sequence[str], spare: Sequence[str] = ()) -> None:
    """Write a table; where a terminal is too narrow, without the `spare` columns, as many as it takes."""
    text = _lay_out(rows, headers)
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        for count in range(len(spare) + 1):
            kept = [place for place, header in enumerate(headers) if header not in spare[:count]]
            text = _lay_out(
                [[row[place] for place in kept] for row in rows], [headers[place] for place in kept]
            )
            if all(len(click.unstyle(row)) <= width for row in text.splitlines()):
                break
        text = "\n".join(_cut(row, width) for row in text.splitlines())
    click.echo(text)


def _lay_out(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> str:
    return tabulate(rows, headers=headers, tablefmt="plain", disable_numparse=True)


def _domain_row(domain: Domain, now: datetime) -> list[str]:
    verdict = lifecycle.verdict(domain, now)
    current = domain.serving or domain.wanted
    return [
        domain.name,
        status_word(verdict.status),
        domain.source,
        _day(domain.created_at),
        _day(current.leaf.not_after) if current else "",
        str(lifecycle.days_left(current.leaf, now)) if current else "",
        lifecycle.served(domain, now),
        _code(verdict),
        verdict.owner or "",
    ]


def _code(verdict: Verdict) -> str:
    return " ".join(filter(None, [verdict.code, verdict.also.code if verdict.also else None]))


def _cut(row: str, width: int) -> str:
    """Cut a row to `width` columns; colours take none."""
    plain = click.unstyle(row)
    if len(plain) <= width:
        return row
    kept = row[: width - 1 - len(plain)]
    # A row cut within its coloured word would keep half an escape sequence, and colour all that follows.
    return (kept if _RESET in kept else plain[: width - 1]).rstrip() + "…"


def _day(at: datetime) -> str:
    return at.astimezone(lifecycle.SGT).strftime("%Y-%m-%d")


def domain_csv(domains: Iterable[Domain], now: datetime) -> None:
    """Write `list --csv` (RFC 4180); times are RFC 3339 UTC."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(_CSV)
    for domain in domains:
        status, *why = _judged(domain, now)
        current = domain.serving or domain.wanted
        row = [
            domain.name,
            status,
            domain.source,
            instant(domain.created_at),
            instant(current.leaf.not_after) if current else "",
            lifecycle.days_left(current.leaf, now) if current else "",
            lifecycle.served(domain, now),
            *why,
            instant(domain.deleted_at) if domain.deleted_at else "",
        ]
        writer.writerow([_cell(value) for value in row])
    click.echo(text.getvalue(), nl=False)


def _judged(domain: Domain, now: datetime) -> tuple[str, str, str, str]:
    """Give status, reason, owner and sentence; a deleted domain has none of them."""
    if domain.deleted_at:
        return "", "", "", ""
    verdict = lifecycle.verdict(domain, now)
    return verdict.status, _code(verdict), verdict.owner or "", verdict.sentence


def _cell(value: object) -> object:
    """Keep a spreadsheet from running text from outside as a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def outcome(domain: Domain, now: datetime) -> None:
    """Write how a pass over `domain` ended: one line, and for trouble who must do what."""
    verdict = lifecycle.verdict(domain, now)
    head = f"{domain.name}: {status_word(verdict.status)}"
    if verdict.code is None:
        assert domain.serving is not None  # noqa: S101 - Success is served
        click.echo(f"{head}, {lifecycle.served(domain, now)}, expires {_both(domain.serving.leaf.not_after)}")
        return
    click.echo(f"{head} {_code(verdict)}: {verdict.sentence}")
    if domain.serving is not None:
        click.echo(f"  serving: {lifecycle.served(domain, now)}")
    click.echo(f"  next ({verdict.owner}): {verdict.next_step}{_again(verdict, now)}")


def _again(verdict: Verdict, now: datetime) -> str:
    if verdict.retry_at is None or verdict.code is Code.QUEUED:
        return ""
    if verdict.retry_at <= now:
        return " Taken up again by the next tick."
    return f" Taken up again at {lifecycle.moment(verdict.retry_at)}."


def _both(at: datetime) -> str:
    """Give a time in Singapore time and in UTC."""
    return f"{lifecycle.moment(at)} ({at.astimezone(UTC).strftime('%Y-%m-%d %H:%M UTC')})"


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
    verdict = lifecycle.verdict(domain, now)
    facts = [
        ("Domain", domain.name),
        ("Other names", ", ".join(domain.sans)),
        ("Status", "deleted" if domain.deleted_at else status_word(verdict.status)),
        ("Source", domain.source),
        ("Serving", lifecycle.served(domain, now)),
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
    ]


def _pairs(facts: Iterable[tuple[str, str]]) -> str:
    return _indented([(f"{label}:", text) for label, text in facts])


def _versions(certificates: Iterable[Certificate], domain: Domain, now: datetime) -> str:
    rows = [
        (
            str(certificate.version),
            lifecycle.fate(certificate, domain, now),
            certificate.source,
            lifecycle.moment(certificate.issued_at),
            lifecycle.moment(certificate.leaf.not_after),
            certificate.leaf.fingerprint[:16],
        )
        for certificate in certificates
    ]
    return _indented(rows, ("VERSION", "FATE", "SOURCE", "ISSUED", "EXPIRES", "SHA-256"))


def _history(events: Iterable[Event]) -> str:
    rows = [
        (
            lifecycle.moment(event.at),
            event.actor,
            event.kind if event.version is None else f"{event.kind} (version {event.version})",
            event.detail,
        )
        for event in events
    ]
    return _indented(rows)


def _indented(rows: Iterable[Sequence[str]], headers: Sequence[str] = ()) -> str:
    # tabulate takes leading blanks off the cells, though not off the headers.
    table = tabulate(rows, headers=headers, tablefmt="plain", disable_numparse=True)
    return textwrap.indent(table, "  ")
