"""The ledger of the CA's limits: what was ordered is counted, and what would be refused is not ordered.

It has no books of its own. Each limit is counted from the orders, inside the transaction that opens the next one, so
that passes at the same time in however many threads and processes cannot overspend together.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sslctl.rules.budget import BudgetHeld
from sslctl.rules.limits import Limit, LimitKind, Limits, Pause, Scope, scope_of, set_key
from sslctl.rules.model import Domain
from sslctl.rules.names import registered_domain
from sslctl.rules.reasons import Code
from sslctl.rules.schedule import RETRY_LATEST
from sslctl.store.sql import rows
from sslctl.store.sql.connection import Connection, Row
from sslctl.text import instant

_OF_CA = "ca IN (:ca, '')"
_BOUGHT = "(outcome = 'issued' OR closed_at IS NULL)"
# An order dies with these when the CA judged a challenge (`issuer.problems`).
_INVALID = rows.literals(
    (
        Code.CHALLENGE_FAILED,
        Code.PORT_80_CLOSED,
        Code.CAA_FORBIDS,
        Code.NXDOMAIN,
        Code.DNS_UNANSWERED,
    )
)
# For each kind of limit, the moments of what counts against it since `:since`. What is further ahead than `:ahead` was
# stored by a clock that ran ahead.
_MOMENTS = {
    LimitKind.ORDERS: f"""SELECT opened_at AS at FROM acme_order WHERE {_OF_CA} AND is_renewal = 0
        AND (url IS NOT NULL OR closed_at IS NULL) AND opened_at > :since
        AND opened_at <= :ahead""",  # noqa: S608 - constants
    LimitKind.CERTIFICATES: f"""SELECT opened_at AS at FROM acme_order WHERE {_OF_CA} AND {_BOUGHT} AND id IN (
        SELECT order_id FROM acme_order_name WHERE registered_domain = :key AND opened_at > :since
        AND opened_at <= :ahead)""",  # noqa: S608 - constants
    LimitKind.DUPLICATES: f"""SELECT opened_at AS at FROM acme_order WHERE {_OF_CA} AND {_BOUGHT}
        AND name_set = :key AND opened_at > :since AND opened_at <= :ahead""",  # noqa: S608 - constants
    LimitKind.FAILURES: f"""SELECT closed_at AS at FROM acme_order_name JOIN acme_order ON id = order_id
        WHERE {_OF_CA} AND name = :key AND outcome IN ({_INVALID}) AND closed_at > :since
        AND closed_at <= :ahead""",  # noqa: S608 - constants
}
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)
# How long these lasted is remembered: the next one of the kind lasts longer.
_GROWING = rows.literals((LimitKind.BREAKER, LimitKind.RENEWAL_INFO))
# A pause is a week long at most: one that lasts longer was stored by a clock that ran ahead.
_LASTS = "(until > :now AND until <= :latest)"
_EVERYTHING = (Scope(LimitKind.ACCOUNT), Scope(LimitKind.BREAKER))


@dataclass(frozen=True, slots=True)
class _Limited:
    """A limit that an order counts against."""

    scope: Scope
    limit: Limit
    what: str


class _Queue:
    """Who was held back by this process for the same limit, and in which place.

    `waiting` have been told a time to come before: whoever is new comes after them. Whose time has come but finds no
    room comes before all others, and not once more at the end.
    """

    def __init__(self, waiting: int) -> None:
        self._waiting = waiting
        self._new: dict[int, int] = {}
        self._overdue: dict[int, int] = {}

    def place(self, domain: Domain, scope: Scope) -> int:
        """Give the place that `domain` has, or would have."""
        if _waits(domain, scope):
            return self._overdue.get(domain.id, len(self._overdue))
        return self._new.get(domain.id, self._waiting + len(self._new))

    def enter(self, domain: Domain, scope: Scope) -> None:
        """Let `domain` keep its place."""
        line = self._overdue if _waits(domain, scope) else self._new
        line.setdefault(domain.id, self.place(domain, scope))

    def leave(self, domain: Domain) -> None:
        """Let `domain` go, which waits no more."""
        self._new.pop(domain.id, None)
        self._overdue.pop(domain.id, None)


class Budget:
    """The part of `Store` that keeps within the CA's limits and pauses."""

    _database: Connection
    _clock: Callable[[], datetime]

    def __init__(self, ca: str, limits: Limits) -> None:
        self._ca = ca
        self._limits = limits
        self._queues: dict[Scope, _Queue] = {}

    # Limits

    def require_budget(self, domain: Domain, names: tuple[str, ...]) -> None:
        with self._database.transaction():
            self._require_budget(domain, names)

    def orders_left(self, now: datetime) -> int | None:
        if self._pause_over((*_EVERYTHING, Scope(LimitKind.ORDERS)), now) is not None:
            return 0
        limit = self._limits.orders
        if limit is None:
            return None
        return max(0, limit.count - self._count(Scope(LimitKind.ORDERS), limit, now))

    def waiting_for_budget(self, now: datetime, number: int) -> list[Domain]:
        sql = f"""{rows.SELECT_DOMAIN} WHERE domain.finding_code = 'BUDGET_HELD' AND domain.deleted_at IS NULL
            AND domain.finding_wanted = :scope AND domain.retry_at > :now ORDER BY domain.retry_at LIMIT :number"""
        values = {"scope": Scope(LimitKind.ORDERS).kind, "now": instant(now), "number": number}
        return self._database.read(rows.domain_of, sql, values)

    def _require_budget(self, domain: Domain, names: tuple[str, ...]) -> bool:
        """Say whether an order of `domain` for `names` is a renewal. Raises `BudgetHeld` where it must not be placed now."""
        now = self._clock()
        is_renewal = self._is_renewal(names)
        limited = list(self._limited(names, is_renewal=is_renewal))
        holds = [held for each in limited if (held := self._held(domain, each, now)) is not None]
        pause = self._pause_over(_scopes(names, is_renewal=is_renewal), now)
        if pause is not None:
            holds.append(self._paused(domain, pause, now))
        if holds:
            last = max(holds, key=lambda held: held.until)
            self._queue(last.scope, now).enter(domain, last.scope)
            raise last
        for queue in self._queues.values():
            queue.leave(domain)
        return is_renewal

    def _is_renewal(self, names: tuple[str, ...]) -> bool:
        """Say whether exactly these names had a certificate of this CA before; another one's exempts nobody."""
        ordered = (
            f"SELECT 1 FROM acme_order WHERE {_OF_CA} AND name_set = :key AND outcome = 'issued' LIMIT 1"  # noqa: S608 - constants
        )
        return self._database.read(tuple, ordered, {"key": set_key(names), "ca": self._ca}) != []

    def _limited(self, names: tuple[str, ...], *, is_renewal: bool) -> Iterator[_Limited]:
        limits = self._limits
        if limits.orders and not is_renewal:
            yield _Limited(Scope(LimitKind.ORDERS), limits.orders, "new orders")
        if limits.certificates and not is_renewal:
            for owner in sorted(set(map(registered_domain, names))):
                scope = Scope(LimitKind.CERTIFICATES, owner)
                yield _Limited(scope, limits.certificates, f"new certificates for {owner}")
        if limits.duplicates:
            scope = Scope(LimitKind.DUPLICATES, set_key(names))
            yield _Limited(scope, limits.duplicates, "certificates for exactly these names")
        if limits.failures:
            for name in names:
                yield _Limited(
                    Scope(LimitKind.FAILURES, name), limits.failures, f"failed validations of {name}"
                )

    def _held(self, domain: Domain, limited: _Limited, now: datetime) -> BudgetHeld | None:
        """Give how `limited` holds an order back at `now`, None where it does not.

        A place is free once the order that took it has left the window. Of several domains that wait, each is told
        when the place comes free that those before it leave.
        """
        scope, limit = limited.scope, limited.limit
        if self._moment(scope, limit, now, limit.count - 1) is None:
            return None

        def free_at(place: int) -> datetime:
            rounds, place = divmod(place, limit.count)
            taken = self._moment(scope, limit, now, limit.count - 1 - place)
            assert taken is not None  # noqa: S101 - it is later than the one above
            return taken + (rounds + 1) * limit.window

        count = self._count(scope, limit, now)
        found = f"{count} of {limit.count} {limited.what} in {limit.period}"
        return BudgetHeld(scope, found, self._turn(domain, scope, now, free_at))

    def _turn(
        self, domain: Domain, scope: Scope, now: datetime, free_at: Callable[[int], datetime]
    ) -> datetime:
        """Give when the turn of `domain` comes: what it was told, while that is to come, or else when its place is free."""
        finding = domain.finding
        if finding is not None and finding.retry_at and finding.retry_at > now and _waits(domain, scope):
            return max(finding.retry_at, free_at(0))
        return free_at(self._queue(scope, now).place(domain, scope))

    def _queue(self, scope: Scope, now: datetime) -> _Queue:
        if scope not in self._queues:
            sql = """SELECT count(*) FROM domain WHERE finding_code = 'BUDGET_HELD' AND deleted_at IS NULL
                AND finding_wanted = ? AND retry_at > ?"""
            values = (str(scope), instant(now))
            self._queues[scope] = _Queue(self._database.read(lambda row: int(row[0]), sql, values)[0])
        return self._queues[scope]

    def _moment(self, scope: Scope, limit: Limit, now: datetime, number: int) -> datetime | None:
        """Give the moment of what counts against `limit`, `number` back from the newest; None where it was longer ago."""
        sql = f"{_MOMENTS[scope.kind]} ORDER BY at DESC LIMIT 1 OFFSET :number"
        values = {**self._values(scope, limit, now), "number": number}
        found = self._database.read(lambda row: rows.time_of(row["at"]), sql, values)
        return found[0] if found else None

    def _count(self, scope: Scope, limit: Limit, now: datetime) -> int:
        sql = f"SELECT count(*) FROM ({_MOMENTS[scope.kind]})"  # noqa: S608 - constants
        return self._database.read(lambda row: int(row[0]), sql, self._values(scope, limit, now))[0]

    def _values(self, scope: Scope, limit: Limit, now: datetime) -> dict[str, object]:
        since, ahead = instant(now - limit.window), instant(now + limit.window)
        return {"ca": self._ca, "key": scope.key, "since": since, "ahead": ahead}

    def _enter(self, order_id: int, names: tuple[str, ...], opened_at: str, *, is_renewal: bool) -> None:
        """Keep by which names an order is counted."""
        with self._database.transaction() as run:
            for name in set(names):
                owner = None if is_renewal else registered_domain(name)
                run("INSERT INTO acme_order_name VALUES (?, ?, ?, ?)", (order_id, name, owner, opened_at))

    # Pauses

    def pause(self, scope: Scope, until: datetime, why: str) -> None:
        with self._database.transaction() as run:
            now = self._clock()
            over = f"DELETE FROM ca_pause WHERE NOT {_LASTS} AND scope NOT IN ({_GROWING})"  # noqa: S608 - constants
            run(over, _lasting(now))
            run(
                """INSERT INTO ca_pause (ca, scope, at, until, why) VALUES (?, ?, ?, ?, ?)
                ON CONFLICT DO UPDATE SET until = excluded.until, why = excluded.why
                WHERE excluded.until > until""",
                (self._ca, str(scope), instant(now), instant(until), why),
            )

    def pauses(self, now: datetime) -> list[Pause]:
        sql = f"""SELECT scope, until, why FROM ca_pause WHERE {_LASTS} AND ca = :ca AND scope <> :scope
            ORDER BY until DESC, scope"""  # noqa: S608 - constants
        values = {**_lasting(now), "ca": self._ca, "scope": LimitKind.RENEWAL_INFO}
        return self._database.read(_pause_of, sql, values)

    def active_pause(self, now: datetime, *scopes: Scope) -> Pause | None:
        return self._pause_over((*_EVERYTHING, *scopes), now)

    def _pause_over(self, scopes: tuple[Scope, ...], now: datetime) -> Pause | None:
        """Give the pause that lasts longest of those that cover one of `scopes`."""
        sql = f"""SELECT scope, until, why FROM ca_pause WHERE {_LASTS} AND ca = :ca
            AND scope IN (SELECT value FROM json_each(:scopes)) ORDER BY until DESC LIMIT 1"""  # noqa: S608 - constants
        values = {**_lasting(now), "ca": self._ca, "scopes": json.dumps([str(scope) for scope in scopes])}
        found = self._database.read(_pause_of, sql, values)
        return found[0] if found else None

    def _paused(self, domain: Domain, pause: Pause, now: datetime) -> BudgetHeld:
        """Give how `pause` holds an order back; where many wait for one limit, each a place later than the one before."""
        limit = {
            LimitKind.ORDERS: self._limits.orders,
            LimitKind.CERTIFICATES: self._limits.certificates,
        }.get(pause.scope.kind)
        until = pause.until
        if limit is not None:
            each = limit.window / limit.count
            until = self._turn(domain, pause.scope, now, lambda place: pause.until + place * each)
        return BudgetHeld(pause.scope, pause.why, until)

    # The circuit breaker

    @property
    def is_breaker_open(self) -> bool:
        return self._database.read(tuple, *self._breaker("SELECT 1", LimitKind.BREAKER)) != []

    def trip_breaker(self, why: str, kind: LimitKind = LimitKind.BREAKER) -> None:
        with self._database.transaction() as run:
            now, length = self._clock(), _FIRST_PAUSE
            row = run(*self._breaker("SELECT at, until", kind)).fetchone()
            if row is not None:
                began_at, until = rows.time_of(row["at"]), rows.time_of(row["until"])
                if now < until <= now + RETRY_LATEST:
                    return
                length = min(2 * (until - began_at), _LONGEST_PAUSE)
            run(
                "INSERT OR REPLACE INTO ca_pause (ca, scope, at, until, why) VALUES (?, ?, ?, ?, ?)",
                (self._ca, kind, instant(now), instant(now + length), why),
            )

    def reset_breaker(self, kind: LimitKind = LimitKind.BREAKER) -> None:
        if self._database.read(tuple, *self._breaker("SELECT 1", kind)):
            with self._database.transaction() as run:
                run(*self._breaker("DELETE", kind))

    def _breaker(self, verb: str, kind: LimitKind) -> tuple[str, tuple[str, str]]:
        return f"{verb} FROM ca_pause WHERE ca = ? AND scope = ?", (self._ca, kind)


def _lasting(now: datetime) -> dict[str, object]:
    return {"now": instant(now), "latest": instant(now + RETRY_LATEST)}


def _waits(domain: Domain, scope: Scope) -> bool:
    """Say whether `domain` was held back for `scope`."""
    finding = domain.finding
    return finding is not None and finding.code is Code.BUDGET_HELD and finding.wanted == str(scope)


def _scopes(names: tuple[str, ...], *, is_renewal: bool) -> tuple[Scope, ...]:
    """Give every scope whose pause covers a new order for `names`."""
    scopes = [*_EVERYTHING, Scope(LimitKind.DUPLICATES, set_key(names))]
    scopes += [Scope(LimitKind.FAILURES, name) for name in names]
    if not is_renewal:
        scopes.append(Scope(LimitKind.ORDERS))
        # The CA's list of public suffixes may be another than ours: whichever parent it names is covered.
        scopes += [Scope(LimitKind.CERTIFICATES, parent) for parent in sorted(_parents(names))]
    return tuple(scopes)


def _parents(names: tuple[str, ...]) -> set[str]:
    """Give `names` and every domain above them."""
    return {name.split(".", depth)[depth] for name in names for depth in range(name.count("."))}


def _pause_of(row: Row) -> Pause:
    return Pause(scope_of(row["scope"]), rows.time_of(row["until"]), row["why"])
