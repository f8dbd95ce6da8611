"""Look at the DNS of new domains that do not point at the CDN yet.

The customer changes DNS some minutes or days after the domain was added, and should not wait for the next midnight. A look makes
DNS lookups only: it asks C4 nothing and places no order. `rules.onboarding` says when one is due.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from enum import Enum, auto
from functools import partial
from typing import Protocol

from sslctl.errors import Busy
from sslctl.fleet.record_reader import in_threads, waits_for_c4
from sslctl.issuance.claims import claimed
from sslctl.preflight import PreflightError, Prober
from sslctl.rules.model import Domain, PassResult
from sslctl.rules.onboarding import LOOKED_AT
from sslctl.rules.pass_result import UNANSWERED, Step, step_of
from sslctl.store.interface.claims import Claims
from sslctl.store.interface.domains import Domains
from sslctl.store.interface.transactions import Transactions

# A tick looks at so many at most, and begins no look after so many seconds: what is left comes first in the next tick.
_MOST = 5000
_SECONDS = 30
# Other processes wait for a transaction.
_MOST_IN_ONE_COMMIT = 200


class _Store(Claims, Domains, Transactions, Protocol):
    """What the looks read and write."""


class _Outcome(Enum):
    """What a look found, apart from a `PreflightError`."""

    POINTS = auto()
    NO_TIME = auto()


def look_at_new_domains(store: _Store, prober: Prober, now: datetime) -> list[str]:
    """Look at the new domains whose look is due at `now`, record what is wrong, and return those that need a pass now.

    A domain that did not answer counts as looked at, so that it does not keep others waiting. A domain needs a pass if it points at the CDN by now, or if its fault is no longer one that a look alone can judge.
    """
    due = store.new_domains_to_look_at(now, _MOST)
    look = partial(_look, prober, end=time.monotonic() + _SECONDS)
    same, ready, changed = list[str](), list[str](), list[tuple[Domain, PassResult]]()
    for domain, found in zip(due, in_threads(look, due), strict=True):
        if found is _Outcome.NO_TIME:
            continue
        if not isinstance(found, PreflightError) or found.code not in (*UNANSWERED, *LOOKED_AT):
            (same if waits_for_c4(domain, now) else ready).append(domain.name)
        elif found.code in UNANSWERED:
            same.append(domain.name)
        elif (result := _conclude(domain, found)) != domain.result:
            changed.append((domain, result))
        else:
            same.append(domain.name)
    store.confirm_dns_checks([*same, *ready], now)
    _record(store, changed)
    return ready


def _look(prober: Prober, domain: Domain, *, end: float) -> PreflightError | _Outcome:
    """Return what DNS has for `domain`, or that no lookup is to begin after `end` (monotonic)."""
    if time.monotonic() > end:
        return _Outcome.NO_TIME
    try:
        prober.check_pointing(domain.names, _target(domain))
    except PreflightError as error:
        return error
    return _Outcome.POINTS


def _target(domain: Domain) -> str:
    """Return the target that C4 named at the last pass, empty if it is not known: then every name of the CDN will do."""
    records = () if domain.finding is None else domain.finding.records
    targets = [target for each in records if each.type == "CNAME" for target in each.wanted or ()]
    return targets[0] if targets else ""


def _conclude(domain: Domain, found: PreflightError) -> PassResult:
    """Return what is known of `domain` after a look that found another fault, or the same one.

    The next pass is not moved, and what C4 did not answer stays unanswered.
    """
    finding, unconfirmed = domain.finding, domain.unconfirmed
    assert finding is not None  # noqa: S101 - of `onboarding.is_look_due`
    if unconfirmed is not None and step_of(unconfirmed.code) is Step.DNS:
        unconfirmed = None
    known = replace(finding, code=found.code, found=found.found, wanted=found.wanted, records=found.records)
    return replace(domain.result, finding=known, unconfirmed=unconfirmed)


def _record(store: _Store, changed: Sequence[tuple[Domain, PassResult]]) -> None:
    """Record the results of looks, apart from domains that another process works on or has changed meanwhile."""
    for start in range(0, len(changed), _MOST_IN_ONE_COMMIT):
        with store.transaction():
            for domain, result in changed[start : start + _MOST_IN_ONE_COMMIT]:
                with suppress(Busy), claimed(store, domain.name):
                    store.record_look(domain, result)
