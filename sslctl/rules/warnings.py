"""The warnings about a domain: facts that a person should know although the domain may be in Success."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sslctl.rules.dns_record import DnsRecord
from sslctl.rules.model import Caution, Domain, DomainSummary, Installed, Source, Suspicion
from sslctl.rules.reasons import REASONS, Code, Owner
from sslctl.rules.singapore import format_duration, format_sgt
from sslctl.rules.versions import is_adopted, is_expired

DEPARTED_AFTER = timedelta(days=7)
LEFT_THE_CDN = (Code.CNAME_ELSEWHERE, Code.CNAME_MISSING, Code.NXDOMAIN)
# A text certificate is not renewed, so a person must hear early.
TEXT_EXPIRES_SOON = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class DomainWarning:
    """One warning, with its reason. `since` is None if the time is not known; `is_certain` is false for a suspicion.

    `records` are the DNS records that cure it.
    """

    code: Code
    sentence: str
    owner: Owner
    next_step: str
    since: datetime | None
    is_certain: bool = True
    records: tuple[DnsRecord, ...] = ()


def find_warnings(domain: Domain | DomainSummary, now: datetime) -> list[DomainWarning]:
    """Return the warnings about `domain` at `now`, the most urgent first. A deleted domain has none."""
    # Most domains have none, and a list asks for a hundred thousand.
    if domain.source is Source.C4 and not (domain.foreign or domain.suspicion or domain.caution):
        return []
    return [] if domain.deleted_at is not None else list(_warnings(domain, now))


def _warnings(domain: Domain | DomainSummary, now: datetime) -> Iterator[DomainWarning]:
    if domain.foreign is not None and not is_expired(domain.foreign, now):
        yield from _foreign(domain, domain.foreign, now)
    if domain.suspicion is not None:
        yield _observed(domain.suspicion, domain.suspicion.code, is_certain=False)
    current = domain.in_service
    if current is not None and domain.source is Source.TEXT:
        left = current.not_after - now
        if timedelta(0) < left <= TEXT_EXPIRES_SOON:
            found = f"{format_duration(left)} left, until {format_sgt(current.not_after)}"
            yield _warning(Code.TEXT_EXPIRES, found, "", None)
    if domain.caution is not None:
        caution = domain.caution
        has_left = caution.code in LEFT_THE_CDN and now - caution.since >= DEPARTED_AFTER
        code = Code.DEPARTED if has_left else caution.code
        yield _observed(caution, code)


def _foreign(domain: Domain | DomainSummary, foreign: Installed, now: datetime) -> Iterator[DomainWarning]:
    """Yield the warning that C4 has another certificate, unless that is what the domain waits for or was adopted."""
    if domain.finding is not None and domain.finding.code is Code.FOREIGN_TEXT:
        return
    if is_adopted(domain):
        return
    found = f"{foreign.fingerprint[:16]}, {format_duration(foreign.not_after - now)} left"
    code = Code.OTHER_CERTIFICATE if foreign.source is Source.TEXT else Code.KEY_MISSING
    wanted = "" if domain.wanted is None else domain.wanted.fingerprint[:16]
    yield _warning(code, found, wanted, None)


def _observed(observed: Suspicion | Caution, code: Code, *, is_certain: bool = True) -> DomainWarning:
    """Return the warning with `code` about what a pass or a look `observed`."""
    warning = _warning(code, observed.found, observed.wanted, observed.since)
    next_step = warning.next_step if is_certain else _NOT_BELIEVED
    return replace(warning, next_step=next_step, is_certain=is_certain, records=observed.records)


def _warning(code: Code, found: str, wanted: str, since: datetime | None) -> DomainWarning:
    reason = REASONS[code]
    return DomainWarning(code, reason.explain(found, wanted), reason.owner, reason.next_step, since)


_NOT_BELIEVED = "This answer is not believed yet. The next ticks ask again."
