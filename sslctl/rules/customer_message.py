"""The message to a customer about their domains: what they must do, until when, and what then happens. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sslctl.rules import customer_texts_en, customer_texts_zh
from sslctl.rules.customer_texts import ANSWERED, HARMLESS, NEEDS_RECORDS, Language, Phrases
from sslctl.rules.dns_record import DnsRecord
from sslctl.rules.expiry import last_check_before
from sslctl.rules.model import Domain, DomainSummary, Source
from sslctl.rules.readable_names import readable_name
from sslctl.rules.reasons import REASONS, Code, Owner, Status
from sslctl.rules.singapore import SGT
from sslctl.rules.status import derive_status
from sslctl.rules.unreached import Unreached, find_unreached
from sslctl.rules.versions import is_expired
from sslctl.rules.warnings import find_warnings
from sslctl.text import clean, without_markup

TEXTS = {Language.EN: customer_texts_en.TEXTS, Language.ZH: customer_texts_zh.TEXTS}
"""For each language, the text for each code whose owner is the customer."""

PHRASES = {Language.EN: customer_texts_en.PHRASES, Language.ZH: customer_texts_zh.PHRASES}

_LASTING = timedelta(days=1)
# After these, `schedule.retry_at` waits for the next midnight.
_FEW_TRIES = 3
# Names, addresses and CAA data of this form are copied as they are: nothing in it is markup, or a link with a scheme.
_PLAIN = re.compile(r'[A-Za-z0-9_.:;="\- ]*', re.ASCII)


@dataclass(frozen=True, slots=True)
class Need:
    """Something that the customer must do about `domain`, with the DNS records that do it.

    `check_at` is when sslctl checks again, None if that is not known or over.
    """

    domain: Domain | DomainSummary
    code: Code
    records: tuple[DnsRecord, ...]
    check_at: datetime | None

    @property
    def lacks_records(self) -> bool:
        """Whether the text asks for DNS records, and sslctl does not know all that they must be."""
        is_known = bool(self.records) and all(record.wanted is not None for record in self.records)
        return self.code in NEEDS_RECORDS and not is_known


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A domain for which the customer has nothing to do now, and who must act instead, in the words of the table of reasons.

    `code` and `owner` are None, and `next_step` is empty, for a domain in Success without a warning.
    """

    name: str
    status: Status
    code: Code | None = None
    owner: Owner | None = None
    next_step: str = ""


@dataclass(frozen=True, slots=True)
class CustomerMessage:
    """A message to `customer`, which is empty if no customer is known, about `domains`. `body` has several lines."""

    customer: str
    language: Language
    subject: str
    body: str
    domains: tuple[str, ...]


def find_needs(domain: Domain | DomainSummary, now: datetime) -> list[Need]:
    """Return what the customer must do about `domain`, each reason once: because of the status, of warnings, of no answer.

    A warning that is only suspected needs nothing yet. Neither does DNS that does not answer, until that lasts: our own
    resolvers may have failed for an hour, and with them the DNS of all customers.
    """
    verdict, finding, unconfirmed = derive_status(domain, now), domain.finding, domain.unconfirmed
    retry_at = verdict.retry_at if unconfirmed is None else unconfirmed.retry_at
    check_at = retry_at if retry_at is not None and retry_at > now else None
    found: dict[Code, Need] = {}
    code = verdict.also.code if verdict.also else verdict.code
    if code is not None and not (code is Code.DNS_UNANSWERED and finding and finding.tries <= _FEW_TRIES):
        found[code] = Need(domain, code, verdict.records, check_at)
    if unconfirmed is not None and now - unconfirmed.since >= _LASTING:
        found.setdefault(unconfirmed.code, Need(domain, unconfirmed.code, (), check_at))
    for warning in find_warnings(domain, now):
        is_new = warning.since is not None and now - warning.since < _LASTING
        if warning.is_certain and not (warning.code is Code.ADDRESS_UNANSWERED and is_new):
            found.setdefault(warning.code, Need(domain, warning.code, warning.records, None))
    return [need for code, need in found.items() if REASONS[code].owner is Owner.CUSTOMER]


def explain_left_out(domain: Domain | DomainSummary, now: datetime) -> LeftOut:
    """Return who must act about `domain`, for which the customer has nothing to do."""
    name, verdict, unconfirmed = domain.name, derive_status(domain, now), domain.unconfirmed
    if verdict.code is not None:
        return LeftOut(name, verdict.status, verdict.code, verdict.owner, verdict.next_step)
    for warning in find_warnings(domain, now):
        return LeftOut(name, verdict.status, warning.code, warning.owner, warning.next_step)
    if unconfirmed is not None:
        reason = REASONS[unconfirmed.code]
        return LeftOut(name, verdict.status, unconfirmed.code, reason.owner, reason.next_step)
    return LeftOut(name, verdict.status)


def write_messages(needs: Iterable[Need], language: Language, now: datetime) -> list[CustomerMessage]:
    """Return the messages about `needs`, the most urgent first: one for each customer, and for each domain without a known one."""
    grouped: dict[tuple[str, str], list[Need]] = {}
    for need in sorted(needs, key=_urgency):
        domain = need.domain
        grouped.setdefault((domain.customer, "" if domain.customer else domain.name), []).append(need)
    return [_write(customer, together, language, now) for (customer, _domain), together in grouped.items()]


def _urgency(need: Need) -> tuple[bool, bool, datetime, str]:
    """Return a key that sorts what expires soonest first, then what has no certificate, the oldest first, then the harmless."""
    domain, current = need.domain, need.domain.in_service
    at = domain.created_at if current is None else current.not_after
    return need.code in HARMLESS, current is None, at, domain.name


def _write(customer: str, needs: Sequence[Need], language: Language, now: datetime) -> CustomerMessage:
    phrases = PHRASES[language]
    domains = tuple(dict.fromkeys(need.domain.name for need in needs))
    is_one = len(domains) == 1
    fields = {"domain": _display(domains[0], phrases), "number": len(domains)}
    by_code: dict[Code, list[Need]] = {}
    for need in needs:
        by_code.setdefault(need.code, []).append(need)
    parts = [phrases.greeting, (phrases.intro if is_one else phrases.intro_of_many).format(**fields)]
    for number, (code, same) in enumerate(by_code.items(), 1):
        text = TEXTS[language][code]
        sentences = f"{text.problem}{phrases.between}{text.action}"
        parts.append(f"{number}. {sentences}" if len(by_code) > 1 else sentences)
        for need in same:
            parts += _describe(need, phrases, now, has_heading=not is_one)
    parts += [*_describe_checks(needs, phrases, now), phrases.thanks]
    subject = (phrases.subject if is_one else phrases.subject_of_many).format(**fields)
    return CustomerMessage(customer, language, subject, "\n\n".join(parts), domains)


def _display(name: str, phrases: Phrases) -> str:
    readable = readable_name(name)
    return name if readable == name else phrases.readable.format(readable=readable, domain=name)


def _describe(need: Need, phrases: Phrases, now: datetime, *, has_heading: bool) -> Iterator[str]:
    """Yield the paragraphs about the domain of `need`: its name, the records, the deadline."""
    if has_heading:
        yield f"* {_display(need.domain.name, phrases)}"
    for record in need.records:
        yield "\n".join(_record_lines(record, phrases, need.code))
    if not need.records and need.lacks_records:
        yield phrases.unknown_record
    sentences = (_describe_unreached(need, phrases, now), _describe_deadline(need, phrases, now))
    if any(sentences):
        yield phrases.between.join(filter(None, sentences))


def _record_lines(record: DnsRecord, phrases: Phrases, code: Code) -> Iterator[str]:
    """Yield the lines of `record`.

    What DNS has now is quoted and without markup: anybody may have written it. What stays is not repeated as a value to set. If
    the text for `code` does not ask for the records, the lines only show what there is.
    """
    yield f"{phrases.type}{_shown(record.type)}"
    yield f"{phrases.name}{_shown(record.name)}"
    for value in record.current:
        yield phrases.current.format(_harmless(value))
    if code not in NEEDS_RECORDS:
        return
    if record.wanted is None:
        yield phrases.unknown_value
        return
    if not record.wanted:
        yield phrases.no_value
        return
    is_kept = not set(record.current).isdisjoint(record.wanted)
    for value in record.wanted:
        if value not in record.current:
            yield f"{phrases.added_value if is_kept else phrases.value}{_shown(value)}"
    if is_kept:
        for value in record.current:
            if value not in record.wanted:
                yield phrases.removed_value.format(_harmless(value))


def _shown(text: str) -> str:
    """Return what the customer copies: as it is if it is plain, otherwise without markup."""
    return text if _PLAIN.fullmatch(text) else _harmless(text)


def _harmless(text: str) -> str:
    """Return text from DNS, cleaned, without markup and without links that a mail program would make clickable."""
    return without_markup(clean(text)).replace("://", "\uff1a//")


def _describe_unreached(need: Need, phrases: Phrases, now: datetime) -> str:
    """Return the sentence that visitors do not see the certificate, empty if they do, or if there is none."""
    match find_unreached(need.domain, [need.code], now):
        case Unreached.ALL:
            return phrases.unreached
        case Unreached.SOME:
            return phrases.partly_unreached
        case None:
            return ""


def _describe_deadline(need: Need, phrases: Phrases, now: datetime) -> str:
    """Return the sentence about the deadline, empty if there is none."""
    current = need.domain.in_service
    if need.code in HARMLESS:
        return ""
    if current is None:
        return phrases.no_certificate
    expiry = _time(current.not_after, phrases)
    if is_expired(current, now):
        return phrases.expired.format(expiry=expiry)
    if need.domain.source is Source.TEXT:
        return phrases.before_expiry.format(expiry=expiry)
    if _is_urgent(need, now):
        return phrases.urgent.format(expiry=expiry)
    return phrases.before_check.format(
        deadline=_time(last_check_before(current.not_after), phrases), expiry=expiry
    )


def _is_urgent(need: Need, now: datetime) -> bool:
    """Return whether what is served expires before the next daily check could prevent it."""
    current = need.domain.in_service
    if current is None or need.code in HARMLESS or need.domain.source is Source.TEXT:
        return False
    return not is_expired(current, now) and last_check_before(current.not_after) <= now


def _describe_checks(needs: Sequence[Need], phrases: Phrases, now: datetime) -> Iterator[str]:
    """Yield the sentence about what happens by itself; nothing if that is nothing."""
    times = [need.check_at for need in needs if need.code is not Code.TEXT_EXPIRES]
    if not times:
        return
    known = [at for at in times if at is not None]
    if len(known) == len(times):
        checks = phrases.checks_at.format(at=_time(max(known), phrases))
    else:
        checks = phrases.checks_daily
    is_asked = any(need.code in ANSWERED or _is_urgent(need, now) for need in needs)
    yield checks if is_asked else phrases.no_answer_needed.format(checks=checks)


def _time(at: datetime, phrases: Phrases) -> str:
    """Return `at` to the minute in Singapore time and in UTC."""
    form = "%Y-%m-%d %H:%M"
    return phrases.time.format(sgt=at.astimezone(SGT).strftime(form), utc=at.astimezone(UTC).strftime(form))
