"""What is wrong with a domain, for its page: the reason of its status, the step that did not answer, and each warning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sslctl.rules.dns_record import DnsRecord
from sslctl.rules.model import Domain
from sslctl.rules.reasons import REASONS, Code, Owner
from sslctl.rules.status import derive_status
from sslctl.rules.warnings import find_warnings
from sslctl.web.deadlines import find_deadline
from sslctl.web.language import Texts


class Kind(StrEnum):
    """What a card is about; the text `card.KIND` is its heading."""

    REASON = "reason"
    DOUBT = "doubt"
    WARNING = "warning"
    SUSPECTED = "suspected"


@dataclass(frozen=True, slots=True)
class Card:
    """Something that is wrong. `codes` has two for an expired domain with a finding; the last one must be solved first.

    `title` has their labels in the language of the page.
    `sentence` is English, with the technical detail. `deadline` is as in `deadlines.find_deadline`. `link` is a URL of the CA, empty without one. `retry_at` is the next try,
    None if none is planned for this.
    """

    kind: Kind
    title: str
    codes: tuple[Code, ...]
    owner: Owner
    sentence: str
    next_step: str
    deadline: datetime | None = None
    since: datetime | None = None
    retry_at: datetime | None = None
    link: str = ""
    records: tuple[DnsRecord, ...] = ()


def make_cards(domain: Domain, now: datetime, texts: Texts) -> list[Card]:
    """Return the cards of `domain`, the reason of its status first. A deleted domain has none."""
    return [] if domain.deleted_at is not None else list(_cards(domain, now, texts))


def _cards(domain: Domain, now: datetime, texts: Texts) -> Iterator[Card]:
    verdict, unconfirmed = derive_status(domain, now), domain.unconfirmed
    if verdict.code is not None and verdict.owner is not None:
        codes = (verdict.code, verdict.also.code) if verdict.also else (verdict.code,)
        is_next_known = unconfirmed is None and verdict.code is not Code.QUEUED
        yield Card(
            Kind.REASON,
            " · ".join(map(texts.label, codes)),
            codes,
            verdict.owner,
            verdict.sentence,
            texts.next_step(codes[-1], verdict.next_step),
            find_deadline(domain, codes[-1], now),
            retry_at=verdict.retry_at if is_next_known else None,
            link=safe_link(verdict.link),
            records=verdict.records,
        )
    if unconfirmed is not None:
        reason = REASONS[unconfirmed.code]
        yield Card(
            Kind.DOUBT,
            texts.label(unconfirmed.code),
            (unconfirmed.code,),
            reason.owner,
            reason.explain(unconfirmed.found, ""),
            texts.next_step(unconfirmed.code, reason.next_step),
            since=unconfirmed.since,
            retry_at=unconfirmed.retry_at,
        )
    for warning in find_warnings(domain, now):
        step = texts.next_step(warning.code, warning.next_step)
        yield Card(
            Kind.WARNING if warning.is_certain else Kind.SUSPECTED,
            texts.label(warning.code),
            (warning.code,),
            warning.owner,
            warning.sentence,
            step if warning.is_certain else texts("domain.not_believed"),
            find_deadline(domain, warning.code, now) if warning.is_certain else None,
            warning.since,
            records=warning.records if warning.is_certain else (),
        )


def safe_link(url: str) -> str:
    """Return `url` if a browser may open it: the CA's text may have any scheme. Otherwise return an empty text."""
    return url if url.startswith(("https://", "http://")) else ""
