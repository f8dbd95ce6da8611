"""Asking the CA when it wants certificates renewed (ARI, RFC 9773), for many of them, at the pace that it sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random, SystemRandom
from typing import Protocol

from sslctl.certificates.x509 import renewal_id
from sslctl.issuer import IssueError, Issuer, RenewalWindow, RenewalWindows
from sslctl.rules.limits import LimitKind, Scope
from sslctl.rules.model import Certificate, RenewalInfo
from sslctl.rules.renewal import Alert, asked_early
from sslctl.store.interface.budget import Budget
from sslctl.store.interface.renewals import Renewals

# RFC 9773, sections 4.3.2 and 4.3.3: what the CA may ask for, and when it is asked again where it says nothing.
SOONEST, LATEST, USUAL = timedelta(minutes=1), timedelta(days=1), timedelta(hours=6)

_POLLING = Scope(LimitKind.RENEWAL_INFO)
_AT_ONCE = 500
# So long a question may go on after `stopped` said so.
_MOMENT_SECONDS = 15
_NO_ARI = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Poll:
    """What came of asking: about how many certificates the CA was asked, and what it newly wants renewed early."""

    asked: int = 0
    alerts: tuple[Alert, ...] = ()


class _Store(Budget, Renewals, Protocol):
    """What polling reads and writes."""


def poll(
    store: _Store,
    issuer: Issuer,
    clock: Callable[[], datetime],
    *,
    seconds: float,
    stopped: Callable[[], bool] = lambda: False,
    random: Random | None = None,
    at_once: int = _AT_ONCE,
) -> Poll:
    """Ask the CA about every certificate whose turn it is, `at_once` a question, and keep its answers as they come.

    Ends after about `seconds`, soon after `stopped` says so, or when the CA does not answer: it is left alone then for
    as long as it asks, or for ever longer, up to an hour. A CA without ARI is looked at once a day. What `random` picks
    are the times of renewal. Raises `StateError`.
    """
    random, end = random or SystemRandom(), clock() + timedelta(seconds=seconds)
    asked, turned = 0, list[tuple[Certificate, RenewalInfo]]()
    while clock() < end and not stopped() and store.active_pause(clock(), _POLLING) is None:
        due = _with_ids(store, clock(), at_once)
        if not due:
            break
        found = _ask(store, issuer, list(due), min(_MOMENT_SECONDS, (end - clock()).total_seconds()), clock())
        if found is None:
            break
        said = _keep(store, due, found, clock(), random)
        asked += len(found.by_id)
        turned += [(old, info) for old, info in said if _turned_early(old, info)]
        if found.trouble:
            _leave_alone(store, found.trouble, found.retry_at, clock())
            break
        store.reset_breaker(_POLLING.kind)
    return Poll(asked, tuple(alerts(turned)))


def _with_ids(store: _Store, now: datetime, number: int) -> dict[str, Certificate]:
    """Give those that are next, by their ARI ids; who has none is not looked at again."""
    due: dict[str, Certificate] = {}
    without = []
    for certificate, pem in store.renewal_infos_due(now, number):
        id_ = renewal_id(pem)
        if id_ is None:
            without.append((certificate, certificate.not_after))
        else:
            due[id_] = certificate
    store.postpone_renewal_infos(without)
    return due


def _ask(
    store: _Store, issuer: Issuer, ids: Sequence[str], seconds: float, now: datetime
) -> RenewalWindows | None:
    """Give what the CA answers; None where it does not, and is left alone for a while."""
    try:
        found = issuer.renewal_infos(ids, seconds)
    except IssueError as error:
        _leave_alone(store, error.found, error.retry_at, now)
        return None
    if found is None:
        store.pause(_POLLING, now + _NO_ARI, "the CA has no renewal information")
        return None
    if not found.by_id:
        return RenewalWindows({}, found.trouble or "it answered nothing in time", found.retry_at)
    return found


def _leave_alone(store: _Store, why: str, wish: datetime | None, now: datetime) -> None:
    if wish is None:
        store.trip_breaker(why, _POLLING.kind)
    else:
        store.pause(_POLLING, _bounded(wish, now), why)


def _bounded(wish: datetime, now: datetime) -> datetime:
    return min(max(wish, now + SOONEST), now + LATEST)


def _keep(
    store: _Store, due: dict[str, Certificate], found: RenewalWindows, now: datetime, random: Random
) -> list[tuple[Certificate, RenewalInfo]]:
    """Keep the CA's answers, and give them."""
    answered = [(due[id_], suggestion) for id_, suggestion in found.by_id.items() if id_ in due]
    said = [
        (each, to_renewal_info(suggestion, each.renewal_info, now, random))
        for each, suggestion in answered
        if suggestion
    ]
    store.record_renewal_infos(said)
    store.postpone_renewal_infos((each, now + USUAL) for each, suggestion in answered if not suggestion)
    return said


def to_renewal_info(
    suggestion: RenewalWindow, before: RenewalInfo | None, now: datetime, random: Random
) -> RenewalInfo:
    """Turn what the CA suggests at `now` into what is kept, `before` being what was kept last.

    The time of renewal is picked by `random`, uniformly in the window, and stays while the window does. The CA is asked
    again when it wants to be, but after a minute at the soonest and a day at the latest; six hours where it does not say.
    """
    start_at, end_at = suggestion.start_at, suggestion.end_at
    if before is not None and (before.start_at, before.end_at) == (start_at, end_at):
        renew_at = before.renew_at
    else:
        renew_at = start_at + timedelta(seconds=random.randint(0, int((end_at - start_at).total_seconds())))
    poll_at = now + USUAL if suggestion.retry_at is None else _bounded(suggestion.retry_at, now)
    return RenewalInfo(start_at, end_at, renew_at, poll_at, suggestion.explanation_url)


def _turned_early(old: Certificate, info: RenewalInfo) -> bool:
    was_early = old.renewal_info is not None and asked_early(old.leaf, old.renewal_info)
    return asked_early(old.leaf, info) and not was_early


def alerts(turned: Iterable[tuple[Certificate, RenewalInfo]]) -> list[Alert]:
    """Put together what the CA explains alike; what concerns most domains comes first."""
    grouped: dict[str, list[tuple[Certificate, RenewalInfo]]] = {}
    for certificate, info in turned:
        grouped.setdefault(info.explanation_url, []).append((certificate, info))
    found = [
        Alert(
            domains=len({certificate.domain_id for certificate, _ in group}),
            start_at=min(info.start_at for _, info in group),
            end_at=max(info.end_at for _, info in group),
            explanation_url=url,
        )
        for url, group in grouped.items()
    ]
    return sorted(found, key=lambda alert: -alert.domains)
