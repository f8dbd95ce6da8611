"""The rules of the CA's budget: which limits and pauses an order meets, and when the turn of a waiting domain comes.

Pure code: `Usage` is what a store knows of the orders and pauses so far.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sslctl.rules.limits import Limit, LimitKind, Limits, Pause, Scope, longest_pause, set_key
from sslctl.rules.model import Domain
from sslctl.rules.names import registered_domain
from sslctl.rules.reasons import Code
from sslctl.rules.schedule import RETRY_LATEST

FIRST_BREAKER_PAUSE, LONGEST_BREAKER_PAUSE = timedelta(minutes=1), timedelta(hours=1)
LONGEST_PAUSE = RETRY_LATEST
"""A pause that lasts longer was stored while the clock was ahead, and is ignored."""

LONGEST_OUTAGE = timedelta(hours=1)
"""For how long a 503 of the CA, or of a gateway before it, is believed."""

LONGEST_BUSY = timedelta(minutes=1)
"""Up to this `Retry-After` a 503 is a busy moment of the CA, for example of its limits per IP address, and pauses nothing.

Requests of the same kind wait for it where they are (`issuer.certbot.pacing`).
"""

_LONGEST_OTHER_WAIT = timedelta(days=1)

URGENT_INTERVAL = timedelta(minutes=55)
"""The time between two orders that go ahead during a pause, so that hourly ticks place one each, and ticks every 5 minutes no more.

Such an order is for a certificate that would expire before the pause ends.
"""

_URGENT = (Scope(LimitKind.URGENT),)
REFUSALS = (Code.CA_RATE_LIMITED, Code.CA_UNAVAILABLE)
"""The reasons of a request that the CA refused, and that others would be refused for too."""

EVERY_REQUEST = (Scope(LimitKind.ACCOUNT), Scope(LimitKind.BREAKER))
"""The scopes whose pauses cover every request to the CA."""

BREAKERS = (LimitKind.BREAKER, LimitKind.RENEWAL_INFO)
"""The circuit breakers. The length of their last pause is kept, because the next one is longer."""

FAILED_VALIDATIONS = (
    Code.CHALLENGE_FAILED,
    Code.PORT_80_CLOSED,
    Code.CAA_FORBIDS,
    Code.NXDOMAIN,
    Code.DNS_UNANSWERED,
    Code.DNSSEC_BOGUS,
)
"""The outcomes of an order whose validation failed at the CA (`issuer.certbot.problems`)."""


class BudgetHeld(Exception):
    """An order must not be placed now: a limit of the CA is used up, or a pause is in force.

    `scope` is what the limit or the pause covers, `found` describes it. `until` is its end, or if several domains wait
    for the same limit, the turn of this order.
    """

    def __init__(self, scope: Scope, found: str, until: datetime) -> None:
        super().__init__(found)
        self.scope = scope
        self.found = found
        self.until = until


@dataclass(frozen=True, slots=True)
class AppliedLimit:
    """A limit that an order counts against; `what` is counted, in words."""

    scope: Scope
    limit: Limit
    what: str


class Usage(Protocol):
    """The use of the CA's budget at one moment, `now`."""

    @property
    def now(self) -> datetime:
        """The moment, UTC."""

    def count(self, scope: Scope, limit: Limit) -> int:
        """Return how many events count against `limit` within its window."""

    def event_time(self, scope: Scope, limit: Limit, number: int) -> datetime | None:
        """Return the time of the event `number` places before the newest; None if it is outside the window."""

    def waiting(self, scope: Scope) -> int:
        """Return how many domains `scope` holds back until a time after `now`."""

    def longest_pause(self, scopes: tuple[Scope, ...]) -> Pause | None:
        """Return the pause in force that ends last among those that cover one of `scopes`."""

    def has_more_urgent(self, domain: Domain, pause: Pause, tries: int) -> bool:
        """Return whether another domain that `pause` holds back has its turn before `domain`, which had `tries` in vain.

        Its certificate in service expires before `pause` ends. Those with fewer tries come first, among them those that expire
        sooner, and expired ones last. A domain that did not come when it was its turn, hours ago, is not counted.
        """


def longest_wait(code: Code, pause: Scope | None) -> timedelta:
    """Return for how long a `Retry-After` of the CA is followed that came with the reason `code` about `pause`.

    A wrong one must not stop the fleet until certificates expire.
    """
    if code is Code.CA_UNAVAILABLE:
        return LONGEST_OUTAGE
    if code is Code.CA_RATE_LIMITED:
        return longest_pause(None if pause is None else pause.kind)
    return _LONGEST_OTHER_WAIT


def expires_before(domain: Domain, at: datetime) -> bool:
    """Return whether what is served for `domain` expires before `at`, or has expired."""
    current = domain.in_service
    return current is not None and current.not_after <= at


def limits_on_order(limits: Limits, names: tuple[str, ...], *, is_renewal: bool) -> Iterator[AppliedLimit]:
    """Yield each limit that an order for `names` counts against."""
    if limits.orders and not is_renewal:
        yield AppliedLimit(Scope(LimitKind.ORDERS), limits.orders, "new orders")
    if limits.certificates and not is_renewal:
        for owner in sorted(set(map(registered_domain, names))):
            scope = Scope(LimitKind.CERTIFICATES, owner)
            yield AppliedLimit(scope, limits.certificates, f"new certificates for {owner}")
    if limits.duplicates:
        scope = Scope(LimitKind.DUPLICATES, set_key(names))
        yield AppliedLimit(scope, limits.duplicates, "certificates for exactly these names")
    if limits.failures:
        for name in names:
            scope = Scope(LimitKind.FAILURES, name)
            yield AppliedLimit(scope, limits.failures, f"failed validations of {name}")


def scopes_of_order(names: tuple[str, ...], *, is_renewal: bool) -> tuple[Scope, ...]:
    """Return every scope whose pause covers a new order for `names`."""
    scopes = [*EVERY_REQUEST, Scope(LimitKind.DUPLICATES, set_key(names))]
    scopes += [Scope(LimitKind.FAILURES, name) for name in names]
    if not is_renewal:
        scopes.append(Scope(LimitKind.ORDERS))
        # The CA's list of public suffixes may differ from ours: whichever parent it names is covered.
        scopes += [Scope(LimitKind.CERTIFICATES, parent) for parent in sorted(_parents(names))]
    return tuple(scopes)


def _parents(names: tuple[str, ...]) -> set[str]:
    """Return `names` and every domain above them, except top-level domains."""
    return {name.split(".", depth)[depth] for name in names for depth in range(name.count("."))}


def waits_for(domain: Domain, scope: Scope) -> bool:
    """Return whether `domain` was held back for `scope`."""
    finding = domain.finding
    return finding is not None and finding.code is Code.BUDGET_HELD and finding.wanted == str(scope)


def next_breaker_pause(last: tuple[datetime, datetime] | None, now: datetime) -> timedelta | None:
    """Return for how long a circuit breaker opens at `now`; None if it is open still.

    `last` is the beginning and the end of its last pause. Each pause is twice as long as the one before, at most an hour.
    """
    if last is None:
        return FIRST_BREAKER_PAUSE
    began_at, until = last
    if now < until <= now + LONGEST_PAUSE:
        return None
    return min(2 * (until - began_at), LONGEST_BREAKER_PAUSE)


class Queue:
    """The domains that this process held back for one limit, and their positions, counted from 0.

    `waiting` domains were given a time that is still to come; newcomers come after them. Overdue domains, whose time has
    come but that still find the limit used up, come before all others and keep that position.
    """

    def __init__(self, waiting: int) -> None:
        self._waiting = waiting
        self._new: dict[int, int] = {}
        self._overdue: dict[int, int] = {}

    def position(self, domain: Domain, scope: Scope) -> int:
        """Return the position that `domain` has, or would have."""
        if waits_for(domain, scope):
            return self._overdue.get(domain.id, len(self._overdue))
        return self._new.get(domain.id, self._waiting + len(self._new))

    def enter(self, domain: Domain, scope: Scope) -> None:
        """Reserve the position of `domain`."""
        line = self._overdue if waits_for(domain, scope) else self._new
        line.setdefault(domain.id, self.position(domain, scope))

    def leave(self, domain: Domain) -> None:
        """Remove `domain`, which no longer waits."""
        self._new.pop(domain.id, None)
        self._overdue.pop(domain.id, None)


class BudgetRules:
    """Decides whether an order may be placed, and when a domain that must wait has its turn."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._queues: dict[Scope, Queue] = {}

    def require(self, domain: Domain, names: tuple[str, ...], usage: Usage, *, is_renewal: bool) -> bool:
        """Raise `BudgetHeld` if an order of `domain` for `names` must not be placed now.

        Return whether it goes ahead during a pause, because the certificate in service would expire before the pause ends.
        If several limits and pauses hold the order back, the one that lasts longest is reported.
        """
        limits = limits_on_order(self._limits, names, is_renewal=is_renewal)
        holds = [held for each in limits if (held := self._limited(domain, each, usage)) is not None]
        pause = usage.longest_pause(scopes_of_order(names, is_renewal=is_renewal))
        is_urgent = pause is not None and expires_before(domain, pause.until)
        if pause is not None and (held := self._paused(domain, pause, usage)) is not None:
            holds.append(held)
        if holds:
            last = max(holds, key=lambda held: held.until)
            self._queue(last.scope, usage).enter(domain, last.scope)
            raise last
        for queue in self._queues.values():
            queue.leave(domain)
        return is_urgent

    def require_ca(self, domain: Domain, usage: Usage) -> None:
        """Raise `BudgetHeld` if the CA must not be asked about an open order of `domain` now."""
        pause = usage.longest_pause(EVERY_REQUEST)
        if pause is not None and (held := self._paused(domain, pause, usage)) is not None:
            raise held

    def orders_left(self, usage: Usage) -> int | None:
        """Return how many orders that are no renewals may be placed now; None if there is no limit."""
        scope, limit = Scope(LimitKind.ORDERS), self._limits.orders
        if usage.longest_pause((*EVERY_REQUEST, scope)) is not None:
            return 0
        return None if limit is None else max(0, limit.count - usage.count(scope, limit))

    def _limited(self, domain: Domain, applied: AppliedLimit, usage: Usage) -> BudgetHeld | None:
        """Return how a limit holds an order back, or None if it does not.

        A slot is free once the order that took it has left the window. Each waiting domain gets the time at which the
        slot of its position becomes free.
        """
        scope, limit = applied.scope, applied.limit
        if usage.event_time(scope, limit, limit.count - 1) is None:
            return None

        def free_at(position: int) -> datetime:
            windows, position = divmod(position, limit.count)
            taken_at = usage.event_time(scope, limit, limit.count - 1 - position)
            assert taken_at is not None  # noqa: S101 - it is newer than the one above
            return taken_at + (windows + 1) * limit.window

        found = f"{usage.count(scope, limit)} of {limit.count} {applied.what} in {limit.period}"
        return BudgetHeld(scope, found, self._turn(domain, scope, usage, free_at))

    def _paused(self, domain: Domain, pause: Pause, usage: Usage) -> BudgetHeld | None:
        """Return how `pause` holds an order back, None if the order goes ahead.

        If the pause is one of a limit, the waiting domains are spread after its end.
        """
        if expires_before(domain, pause.until):
            turn = _urgent_turn(domain, pause, usage)
            return None if turn is None else BudgetHeld(pause.scope, pause.why, min(turn, pause.until))
        limit = {
            LimitKind.ORDERS: self._limits.orders,
            LimitKind.CERTIFICATES: self._limits.certificates,
        }.get(pause.scope.kind)
        until = pause.until
        if limit is not None:
            interval = limit.window / limit.count
            until = self._turn(domain, pause.scope, usage, lambda position: pause.until + position * interval)
        return BudgetHeld(pause.scope, pause.why, until)

    def _turn(
        self, domain: Domain, scope: Scope, usage: Usage, free_at: Callable[[int], datetime]
    ) -> datetime:
        """Return the turn of `domain`: the time it was given if that is still to come, else when its position is free."""
        finding = domain.finding
        if (
            finding is not None
            and finding.retry_at
            and finding.retry_at > usage.now
            and waits_for(domain, scope)
        ):
            return max(finding.retry_at, free_at(0))
        return free_at(self._queue(scope, usage).position(domain, scope))

    def _queue(self, scope: Scope, usage: Usage) -> Queue:
        if scope not in self._queues:
            self._queues[scope] = Queue(usage.waiting(scope))
        return self._queues[scope]


def _urgent_turn(domain: Domain, pause: Pause, usage: Usage) -> datetime | None:
    """Return when `domain` may try again to go ahead during `pause`; None if it may go ahead now.

    Its certificate would expire before the end of `pause`.
    """
    last = usage.longest_pause(_URGENT)
    if last is not None:
        return last.until
    parts = (part for part in (domain.finding, domain.unconfirmed) if part is not None)
    tries = sum(part.tries for part in parts if part.code in (*REFUSALS, Code.BUDGET_HELD))
    return usage.now + URGENT_INTERVAL if usage.has_more_urgent(domain, pause, tries) else None
