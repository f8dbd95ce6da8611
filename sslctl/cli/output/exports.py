"""Domains and events as data for other programs: CSV, JSON lines and calendars, made while they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import chain
from typing import TypeVar

from sslctl.cli.output.domain_list import csv_rows
from sslctl.cli.output.domain_text import domain_text
from sslctl.cli.output.icalendar import Entry, calendar_texts
from sslctl.cli.output.json_shapes import listed_event
from sslctl.cli.output.phrases import event_kind, reason_codes
from sslctl.cli.output.stdout import blocks, csv_texts, encode_json
from sslctl.rules.model import DomainSummary, Event, Source
from sslctl.rules.status import derive_status, describe_serving
from sslctl.text import instant

T = TypeVar("T")

_EVENT_CSV = ("id", "at", "actor", "domain", "kind", "detail", "version")
_RENEWAL = {
    Source.C4: "sslctl renews the certificate",
    Source.TEXT: "none; a person must add a new certificate",
}


class Format(StrEnum):
    """A format of an export."""

    CSV = "csv"
    JSON_LINES = "jsonl"
    CALENDAR = "ics"


@dataclass
class Tally:
    """How many domains or events were exported so far, and how many domains a calendar cannot show."""

    rows: int = 0
    left_out: int = 0

    def count(self, elements: Iterable[T]) -> Iterator[T]:
        """Yield `elements`, and count them."""
        for element in elements:
            self.rows += 1
            yield element


def inventory_texts(
    domains: Iterable[DomainSummary], now: datetime, kind: Format, tally: Tally
) -> Iterator[str]:
    """Yield `domains` in the format `kind`, with their statuses as of `now`.

    CSV and JSON are as those of `sslctl list`. A calendar has the time at which the certificate of each domain expires.
    """
    if kind is Format.CALENDAR:
        return calendar_texts(tally.count(_expiries(domains, now, tally)))
    counted = tally.count(domains)
    if kind is Format.CSV:
        return csv_texts(csv_rows(counted, now))
    return _json_lines(counted, lambda domain: domain_text(domain, now))


def history_texts(trail: Iterable[tuple[str | None, Event]], kind: Format, tally: Tally) -> Iterator[str]:
    """Yield the events of `trail`, each with the name of its domain, in the format `kind`."""
    counted = tally.count(trail)
    if kind is Format.CALENDAR:
        return calendar_texts(_entry_of_event(name, event) for name, event in counted)
    if kind is Format.CSV:
        return csv_texts(chain([_EVENT_CSV], (_event_row(name, event) for name, event in counted)))
    return _json_lines(counted, lambda found: encode_json(listed_event(*found)))


def _json_lines(elements: Iterable[T], encode: Callable[[T], str]) -> Iterator[str]:
    for block in blocks(elements):
        yield "".join(f"{encode(element)}\n" for element in block)


def _event_row(name: str | None, event: Event) -> tuple[object, ...]:
    version = "" if event.version is None else event.version
    return event.id, instant(event.at), event.actor, name or "", event.kind, event.detail, version


def _entry_of_event(name: str | None, event: Event) -> Entry:
    # An event never changes, and its number belongs to this state only.
    identity = f"event:{event.id}:{instant(event.at)}:{name or ''}:{event.kind}"
    summary = ": ".join(filter(None, [name, event_kind(event)]))
    return Entry(identity, event.at, event.at, summary, f"{event.detail}\nBy: {event.actor}".lstrip())


def _expiries(domains: Iterable[DomainSummary], now: datetime, tally: Tally) -> Iterator[Entry]:
    """Yield an entry for each domain with a certificate, and count the others in `tally`."""
    for domain in domains:
        current = domain.in_service or domain.wanted
        if current is None:
            tally.left_out += 1
            continue
        yield Entry(
            f"expiry:{domain.name}",
            now,
            current.not_after,
            f"{domain.name}: the certificate expires",
            "\n".join(_describe(domain, now)),
        )


def _describe(domain: DomainSummary, now: datetime) -> Iterator[str]:
    verdict = derive_status(domain, now)
    reason = f" ({reason_codes(verdict)}): {verdict.sentence}" if verdict.code is not None else ""
    yield f"Status: {verdict.status}{reason}"
    yield f"Served: {describe_serving(domain, now)}"
    yield f"Renewal: {_RENEWAL[domain.source]}"
    remarks = domain.remarks
    for title, text in (
        ("Other names", " ".join(domain.sans)),
        ("Customer", domain.customer),
        ("Assignee", remarks.assignee),
        ("Note", remarks.note),
    ):
        if text:
            yield f"{title}: {text}"
    yield f"More: sslctl view {domain.name}"
