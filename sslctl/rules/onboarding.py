"""New domains: when their DNS is looked at between two daily rechecks, and which are abandoned. Pure functions."""

from __future__ import annotations

from datetime import datetime, timedelta

from sslctl.rules.model import Domain, DomainSummary, Source
from sslctl.rules.reasons import Code, Owner, Status
from sslctl.rules.status import derive_status

LOOKED_AT = (Code.CNAME_MISSING, Code.CNAME_ELSEWHERE, Code.NXDOMAIN)
"""The findings that end when the customer changes DNS: only with these a new domain is looked at."""

NEW_FOR = timedelta(days=7)
DENSE_FOR = timedelta(hours=1)
# A little less than 5 minutes and an hour: ticks do not begin, and do not come to the looks, at the same second.
DENSE_EVERY = timedelta(minutes=4)
EVERY = timedelta(minutes=55)

ABANDONED_AFTER = timedelta(days=30)


def is_look_due(domain: Domain, now: datetime) -> bool:
    """Return whether the DNS of the new `domain` is to be looked at, although its next pass is later.

    That is so in the first week of a domain that never had a certificate: every 5 minutes for an hour, then hourly. A pass
    counts as a look. If the last look is in the future, the clock was ahead then, and a look is due. A domain that was created
    in the future is not looked at: how old it is is not known.
    """
    finding = domain.finding
    if finding is None or not is_looked_at(domain, now):
        return False
    last = finding.at if domain.dns_checked_at is None else max(finding.at, domain.dns_checked_at)
    return last > now or now - last >= (DENSE_EVERY if is_in_first_hour(domain, now) else EVERY)


def is_looked_at(domain: Domain, now: datetime) -> bool:
    """Return whether the DNS of `domain` is looked at between two daily rechecks (`is_look_due`)."""
    return (
        domain.deleted_at is None
        and domain.source is Source.C4
        and _never_had_any(domain)
        and domain.finding is not None
        and domain.finding.code in LOOKED_AT
        and timedelta(0) <= now - domain.created_at < NEW_FOR
    )


def is_in_first_hour(domain: Domain, now: datetime) -> bool:
    """Return whether `domain` was added less than an hour ago, so that it is looked at every 5 minutes."""
    return now - domain.created_at < DENSE_FOR


def is_abandoned(domain: Domain | DomainSummary, now: datetime) -> bool:
    """Return whether `domain` never had a certificate, was added 30 days ago or earlier, and is in Failure because of the customer.

    It is rechecked every day like others, but nobody is expected to act any more. What others must mend stays trouble: the
    customer has come back.
    """
    return (
        domain.deleted_at is None
        and domain.source is Source.C4
        and _never_had_any(domain)
        and now - domain.created_at >= ABANDONED_AFTER
        and (verdict := derive_status(domain, now)).status is Status.FAILURE
        and verdict.owner is Owner.CUSTOMER
    )


def _never_had_any(domain: Domain | DomainSummary) -> bool:
    return domain.wanted is None and domain.in_service is None
