"""Ask the CA when to renew certificates (ARI, RFC 9773), for many of them, as often as it allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random, SystemRandom
from typing import Protocol

from sslctl.errors import MachineLimit
from sslctl.issuer import IssueError, Issuer, RenewalWindow, RenewalWindows
from sslctl.rules.limits import LimitKind, Scope
from sslctl.rules.model import Certificate, RenewalInfo
from sslctl.rules.renewal import Alert, RenewalRule, is_plausible
from sslctl.store.interface.budget import Budget
from sslctl.store.interface.renewals import Renewals

# RFC 9773, sections 4.3.2 and 4.3.3: the bounds of the CA's retry-after, and the default without one.
MIN_RETRY_AFTER, MAX_RETRY_AFTER, DEFAULT_RETRY_AFTER = (
    timedelta(minutes=1),
    timedelta(days=1),
    timedelta(hours=6),
)

_POLLING = Scope(LimitKind.RENEWAL_INFO)
_BATCH_SIZE = 500
# A batch takes at most this long, so polling ends this soon after `stopped` returns true.
_BATCH_SECONDS = 15
_PAUSE_WITHOUT_ARI = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Poll:
    """The number of certificates that the CA answered about, and what it newly wants renewed early."""

    asked: int = 0
    alerts: tuple[Alert, ...] = ()


class _Store(Budget, Renewals, Protocol):
    """What polling reads and writes."""


def poll(
    store: _Store,
    issuers: Mapping[str, Issuer],
    clock: Callable[[], datetime],
    rule: RenewalRule,
    *,
    seconds: float,
    stopped: Callable[[], bool] = lambda: False,
    random: Random | None = None,
    batch_size: int = _BATCH_SIZE,
) -> Poll:
    """Ask each CA about those of its certificates that are due for polling, and record its answers.

    `issuers` has the client of each CA by the URL of its directory. For each of them:

    1. Take the next `batch_size` certificates. Those without an ARI id are not polled again.
    2. Ask the CA about them, for at most 15 seconds.
    3. Record each answer: the renewal window, a time in it picked by `random`, and when to ask again.
    4. If the CA did not answer, pause polling for its retry-after; without one, back off exponentially, at most one hour.
       The certificates of the failed queries are due again right after the pause, behind all that are due by then.

    Windows that `rule` takes for an incident are reported when the CA first suggests them.

    Repeat until none is due, its share of `seconds` has passed, `stopped` returns true or the CA did not answer. A CA without ARI is
    asked again after a day. Raise `StateError`.
    """
    random, end = random or SystemRandom(), clock() + timedelta(seconds=seconds)
    asked, newly_early = 0, list[tuple[Certificate, RenewalInfo]]()
    for place, (ca, issuer) in enumerate(issuers.items()):
        share = (end - clock()) / (len(issuers) - place)
        polling = _Polling(store, issuer, clock, ca, clock() + share)
        while not stopped() and polling.is_possible():
            due = polling.next_batch(batch_size)
            if not due:
                break
            found = polling.ask(list(due))
            if found is None:
                break
            recorded = _record(store, due, found, clock(), random)
            asked += len(found.by_id)
            newly_early += [(old, info) for old, info in recorded if _is_newly_early(old, info, rule)]
            if found.trouble:
                polling.back_off(found.trouble, found.retry_at)
                polling.postpone([due[id_] for id_ in found.unanswered if id_ in due])
                break
            store.reset_breaker(_POLLING.kind, ca=ca)
    return Poll(asked, tuple(group_alerts(newly_early)))


@dataclass(frozen=True, slots=True)
class _Polling:
    """The polling of one CA, until `end`."""

    store: _Store
    issuer: Issuer
    clock: Callable[[], datetime]
    ca: str
    end: datetime

    def is_possible(self) -> bool:
        """Return whether the CA may be asked now."""
        now = self.clock()
        return now < self.end and self.store.active_pause(now, _POLLING, ca=self.ca) is None

    def next_batch(self, number: int) -> dict[str, Certificate]:
        """Return the certificates to ask about, by ARI id. Those without an id are postponed to their expiry."""
        from sslctl.certificates.x509 import renewal_id  # noqa: PLC0415 - slow to import, and each tick imports this

        due: dict[str, Certificate] = {}
        without = []
        for certificate, pem in self.store.renewal_infos_due(self.clock(), number, ca=self.ca):
            id_ = renewal_id(pem)
            if id_ is None:
                without.append((certificate, certificate.not_after))
            else:
                due[id_] = certificate
        self.store.postpone_renewal_infos(without)
        return due

    def ask(self, ids: Sequence[str]) -> RenewalWindows | None:
        """Return the CA's answer; None if it gave none, and polling is paused."""
        seconds = min(_BATCH_SECONDS, (self.end - self.clock()).total_seconds())
        try:
            found = self.issuer.renewal_infos(ids, seconds)
        except IssueError as error:
            self.back_off(error.found, error.retry_at)
            return None
        except MachineLimit as error:
            self.back_off(error.message, None)
            return None
        if found is None:
            until = self.clock() + _PAUSE_WITHOUT_ARI
            self.store.pause(_POLLING, until, "the CA has no renewal information", ca=self.ca)
            return None
        if not found.by_id and not found.trouble:
            return RenewalWindows({}, "it did not answer in time")
        return found

    def back_off(self, why: str, retry_at: datetime | None) -> None:
        """Pause polling, until `retry_at` if the CA named it."""
        if retry_at is None:
            self.store.trip_breaker(why, _POLLING.kind, ca=self.ca)
        else:
            self.store.pause(_POLLING, _bounded(retry_at, self.clock()), why, ca=self.ca)

    def postpone(self, certificates: Sequence[Certificate]) -> None:
        """Let the polls of `certificates` fall due when the pause ends, so that one that always fails is never in front."""
        pause = self.store.active_pause(self.clock(), _POLLING, ca=self.ca)
        if pause is not None:
            self.store.postpone_renewal_infos((each, pause.until) for each in certificates)


def _bounded(retry_at: datetime, now: datetime) -> datetime:
    return min(max(retry_at, now + MIN_RETRY_AFTER), now + MAX_RETRY_AFTER)


def _record(
    store: _Store, due: dict[str, Certificate], found: RenewalWindows, now: datetime, random: Random
) -> list[tuple[Certificate, RenewalInfo]]:
    """Record the CA's answers, and return those that have a usable renewal window.

    A window outside the certificate's lifetime is no answer (RFC 9773, section 4.3.3): the CA is asked again in six hours.
    """
    infos, unusable = list[tuple[Certificate, RenewalInfo]](), list[Certificate]()
    for id_, suggestion in found.by_id.items():
        certificate = due.get(id_)
        if certificate is None:
            continue
        if suggestion is None or not is_plausible(certificate.leaf, suggestion.start_at, suggestion.end_at):
            unusable.append(certificate)
        else:
            infos.append((certificate, to_renewal_info(suggestion, certificate.renewal_info, now, random)))
    store.record_renewal_infos(infos)
    store.postpone_renewal_infos((each, now + DEFAULT_RETRY_AFTER) for each in unusable)
    return infos


def to_renewal_info(
    suggestion: RenewalWindow, before: RenewalInfo | None, now: datetime, random: Random
) -> RenewalInfo:
    """Return what to record of the window that the CA suggests at `now`; `before` was recorded last.

    `random` picks the renewal time uniformly from the window (RFC 9773, section 4.2); it stays as long as the window
    does. The next poll is after the CA's retry-after, at least a minute and at most a day; without one, after six hours.
    """
    start_at, end_at = suggestion.start_at, suggestion.end_at
    if before is not None and (before.start_at, before.end_at) == (start_at, end_at):
        renew_at = before.renew_at
    else:
        renew_at = start_at + timedelta(seconds=random.randint(0, int((end_at - start_at).total_seconds())))
    poll_at = now + DEFAULT_RETRY_AFTER if suggestion.retry_at is None else _bounded(suggestion.retry_at, now)
    return RenewalInfo(start_at, end_at, renew_at, poll_at, suggestion.explanation_url)


def _is_newly_early(old: Certificate, info: RenewalInfo, rule: RenewalRule) -> bool:
    was_early = old.renewal_info is not None and rule.is_incident(old.leaf, old.renewal_info)
    return rule.is_incident(old.leaf, info) and not was_early


def group_alerts(newly_early: Iterable[tuple[Certificate, RenewalInfo]]) -> list[Alert]:
    """Return one alert for each explanation URL, the one about the most domains first."""
    grouped: dict[str, list[tuple[Certificate, RenewalInfo]]] = {}
    for certificate, info in newly_early:
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
