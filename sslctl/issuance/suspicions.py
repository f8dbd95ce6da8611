"""Bad answers of a shared party about domains that are served: believed together, or not at all.

C4, a resolver or this machine's configuration can be wrong about every domain at once. So such an answer only becomes a
`Suspicion` of the domain. After a batch, the suspicions that it heard are concluded: if there are few of one reason, each
becomes a finding or a warning; if there are many, none does until a person accepts them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sslctl.errors import Busy
from sslctl.issuance.claims import claimed
from sslctl.rules.model import Domain, PassResult
from sslctl.rules.pass_result import CHECKED_AGAIN, Step, conclude_suspicion, is_discard, step_of
from sslctl.rules.reasons import Code
from sslctl.rules.renewal import RenewalRule
from sslctl.rules.schedule import is_order_due
from sslctl.store.interface.claims import Claims
from sslctl.store.interface.domains import Domains
from sslctl.store.interface.transactions import Transactions
from sslctl.store.interface.versions import Versions
from sslctl.wording import C4

_DAY = timedelta(days=1)


class _Store(Domains, Transactions, Versions, Protocol):
    """What the conclusion reads and writes."""


class _AcceptStore(_Store, Claims, Protocol):
    """What the conclusion by a person reads and writes."""


@dataclass(frozen=True, slots=True)
class SuspicionLimit:
    """The most suspicions of one reason that are believed: `most`, or `percent` of the domains looked at if that is more."""

    most: int = 5
    percent: float = 1

    def of(self, looked_at: int) -> int:
        """Return the limit for a batch that looked at so many domains."""
        return max(self.most, int(looked_at * self.percent / 100))


@dataclass(frozen=True, slots=True)
class Withheld:
    """Suspicions of one reason that were too many to be believed: `domains` of the `looked_at` ones."""

    code: Code
    domains: int
    looked_at: int

    def describe(self) -> str:
        """Return in words what happened, and what to do."""
        return (
            f"{self.code} about {self.domains} served domains of {self.looked_at}: too many to be believed, so nothing was"
            f" concluded. Check {C4} and the resolvers; if it is true, run `sslctl recheck --accept {self.code}`"
        )


@dataclass(frozen=True, slots=True)
class LookedAt:
    """Of how many domains a batch read C4's record, and of how many it asked DNS."""

    c4: int
    dns: int

    def of(self, code: Code) -> int:
        """Return how many domains could have had a suspicion of `code`."""
        return self.c4 if step_of(code) <= Step.C4_RECORD else self.dns


@dataclass(frozen=True, slots=True)
class Conclusion:
    """Which suspicions were `withheld`, because they were too many, and the `domains` that were concluded."""

    withheld: Sequence[Withheld] = ()
    domains: Sequence[Domain] = ()


def conclude(
    store: _Store,
    rule: RenewalRule,
    limit: SuspicionLimit,
    *,
    since: datetime,
    now: datetime,
    looked_at: LookedAt,
) -> Conclusion:
    """Conclude the suspicions that were heard at `since` or later by a batch that looked at `looked_at` domains.

    `rule` decides which domains are due for renewal. A domain that another process works on keeps its suspicion, and so does
    one whose suspicion is of `CHECKED_AGAIN`. C4's "unknown domain", and findings and warnings about DNS, CAA and ports count for a
    day, so that a party that is wrong about all domains is noticed although each of many ticks looks at a few.
    """
    withheld, concluded = list[Withheld](), list[Domain]()
    for code, domains in sorted(suspected_by_code(store, since).items()):
        number, looked = len(domains), looked_at.of(code)
        if code is Code.C4_UNKNOWN_DOMAIN:
            number += store.count_findings(code, now - _DAY)
        elif step_of(code) > Step.C4_RECORD:
            number += store.count_cautions(code, now - _DAY) + store.count_new_findings(code, now - _DAY)
            looked = max(looked, store.count_dns_checks(now - _DAY))
        if number > limit.of(looked):
            withheld.append(Withheld(code, number, max(looked, number)))
            continue
        for domain in domains:
            with suppress(Busy):
                is_due = is_order_due(domain, now, rule)
                result = conclude_suspicion(domain, now, is_due=is_due)
                if result != domain.result:
                    concluded.append(record_conclusion(store, domain, result))
    return Conclusion(withheld, concluded)


def to_check_again(store: Domains, since: datetime | None) -> dict[Code, list[str]]:
    """Return the domains of which C4 seems to have another certificate or none, by code (`CHECKED_AGAIN`).

    With `since`, return those of which that was heard then or later.
    """
    by_code = suspected_by_code(store, since)
    return {code: [domain.name for domain in by_code[code]] for code in CHECKED_AGAIN if code in by_code}


def suspected_by_code(store: Domains, since: datetime | None) -> dict[Code, list[Domain]]:
    """Return the domains with suspicions, by code; with `since`, those that were heard then or later."""
    by_code: dict[Code, list[Domain]] = defaultdict(list)
    for domain in store.suspected(since):
        if domain.suspicion is not None:
            by_code[domain.suspicion.code].append(domain)
    return by_code


def accept(store: _AcceptStore, domain: Domain, rule: RenewalRule, now: datetime) -> Domain:
    """Conclude the suspicion of `domain`, because a person looked; return the domain as it is then.

    Raise `Busy` if another process works on the domain or has changed it.
    """
    with claimed(store, domain.name):
        is_due = is_order_due(domain, now, rule)
        return record_conclusion(store, domain, conclude_suspicion(domain, now, is_due=is_due, accepted=True))


def record_conclusion(store: _Store, domain: Domain, result: PassResult) -> Domain:
    """Record the conclusion `result` of the suspicion of `domain`; return the domain. Raise `Busy`."""
    if result == domain.result:
        return domain
    with store.transaction():
        if is_discard(result) and domain.serving is not None:
            domain = store.mark_not_serving(domain, f"{C4} has no such domain")
        if is_discard(result) and domain.foreign is not None:
            domain = store.record_observation(domain, None)
        return store.record_result(domain, result)
