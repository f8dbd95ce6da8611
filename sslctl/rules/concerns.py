"""What needs a person: the findings and warnings of a domain, without those that heal without one. Pure functions.

What heals by itself at a later tick counts from the time on at which waiting endangers something: a certificate in service that
should have been renewed long ago, or a domain that has been without its certificate for a day.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sslctl.rules.dns_record import DnsRecord
from sslctl.rules.expiry import find_expiring, is_renewal_late
from sslctl.rules.model import Domain
from sslctl.rules.reasons import REASONS, Code, Owner, Status
from sslctl.rules.renewal import RenewalRule
from sslctl.rules.status import derive_status
from sslctl.rules.warnings import find_warnings

HEALING = frozenset(
    {
        *(code for code, reason in REASONS.items() if reason.owner is Owner.NOBODY),
        Code.CA_RATE_LIMITED,
        Code.CA_UNAVAILABLE,
        Code.DNS_UNANSWERED,
        Code.TARGET_UNANSWERED,
        Code.RESOLVERS_DISAGREE,
        Code.C4_UNANSWERED,
        Code.C4_CHANGED,
        Code.C4_LOST,
        Code.OTHER_EXPIRED,
        Code.KEY_MISSING,
        Code.BEFORE_CUTOVER,
    }
)
"""The codes that usually end at a later tick without a person. None of them is of a status that is worse than Pending."""

LASTING = frozenset({Code.ADDRESS_UNANSWERED, Code.TARGET_ADDRESS_UNANSWERED})
"""The warnings that need a person only if they last: name servers that do not answer hold nothing back here."""

WAITS_AT_MOST = timedelta(days=1)
"""So long a domain may be without its certificate because of a code of `HEALING`, or have a warning of `LASTING`."""


@dataclass(frozen=True, slots=True)
class Concern:
    """A reason why a domain needs a person, and who that is: never nobody.

    `is_warning` is whether it is not that of the status. `link` is a URL of the CA that a person must open, empty without one.
    `records` are the DNS records that cure it.
    """

    code: Code
    owner: Owner
    sentence: str
    next_step: str
    is_warning: bool = False
    link: str = ""
    records: tuple[DnsRecord, ...] = ()


def find_concerns(domain: Domain, now: datetime, rule: RenewalRule) -> list[Concern]:
    """Return why `domain` needs a person at `now`, the reason of its status first; each code once.

    For an Expired domain the code is that of what prevents its renewal, if there is one. Neither an abandonment
    (`onboarding.is_abandoned`) nor a snooze (`snoozing.is_snoozed`) counts here.
    """
    if domain.deleted_at is not None:
        return []
    found: dict[Code, Concern] = {}
    for concern in _concerns(domain, now, rule):
        found.setdefault(concern.code, concern)
    if not found and is_endangered(domain, now, rule):
        found = {concern.code: concern for concern in _unattempted(domain, now, rule)}
    return list(found.values())


def is_endangered(domain: Domain, now: datetime, rule: RenewalRule) -> bool:
    """Return whether waiting endangers `domain`.

    It does if what is served has expired or should have been renewed long ago (`expiry.is_renewal_late`). If nothing is served, it
    does from a day after the issuance on; without any certificate from a day after the domain was added on, unless sslctl itself
    lets it wait: many new domains wait for days for the limits of the CA.
    """
    current = domain.in_service
    if current is not None:
        return current.not_after <= now or is_renewal_late(domain, now, rule)
    if domain.wanted is not None:
        return now - domain.wanted.issued_at >= WAITS_AT_MOST
    is_held = domain.finding is None or domain.finding.reason.owner is Owner.NOBODY
    return not is_held and now - domain.created_at >= WAITS_AT_MOST


def _concerns(domain: Domain, now: datetime, rule: RenewalRule) -> Iterator[Concern]:
    verdict = derive_status(domain, now)
    if verdict.code is not None and verdict.owner is not None:
        code = verdict.also.code if verdict.also else verdict.code
        if verdict.status is not Status.PENDING or code not in HEALING or is_endangered(domain, now, rule):
            owner = _somebody(verdict.owner)
            yield Concern(
                code, owner, verdict.sentence, verdict.next_step, link=verdict.link, records=verdict.records
            )
    for warning in find_warnings(domain, now):
        # What is only suspected is asked again at the next ticks.
        is_lasting = (
            warning.code not in LASTING or warning.since is None or now - warning.since >= WAITS_AT_MOST
        )
        if (
            warning.is_certain
            and is_lasting
            and (warning.code not in HEALING or is_endangered(domain, now, rule))
        ):
            yield Concern(
                warning.code, _somebody(warning.owner), warning.sentence, warning.next_step,
                is_warning=True, records=warning.records,
            )  # fmt: skip


def _unattempted(domain: Domain, now: datetime, rule: RenewalRule) -> Iterator[Concern]:
    """Yield that the certificate of a domain that is otherwise well expires soon."""
    expiring = find_expiring(domain, now, rule)
    if expiring is not None:
        yield Concern(expiring.code, _somebody(expiring.owner), expiring.sentence, expiring.next_step)


def _somebody(owner: Owner) -> Owner:
    """Return who must act: the operator if waiting was all that was needed."""
    return Owner.OPERATOR if owner is Owner.NOBODY else owner
