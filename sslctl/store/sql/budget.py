"""The CA's budget. `rules.budget` decides; this counts the orders and keeps the pauses.

There is no separate account: each limit is counted from the orders themselves, inside the transaction that opens the next
one. So passes in any number of threads and processes cannot overspend together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sslctl.rules import budget
from sslctl.rules.budget import (
    BREAKERS,
    EVERY_REQUEST,
    FAILED_VALIDATIONS,
    LONGEST_PAUSE,
    REFUSALS,
    BudgetHeld,
    BudgetRules,
)
from sslctl.rules.limits import NO_LIMITS, Limit, LimitKind, Limits, Pause, Scope, scope_of, set_key
from sslctl.rules.model import Domain, Milestone
from sslctl.rules.names import registered_domain
from sslctl.store.sql import rows
from sslctl.store.sql.connection import Connection, Row, Run
from sslctl.store.sql.maintenance import SqlMilestones
from sslctl.store.sql.values import literals, text_of, time_of
from sslctl.text import clean, instant

_OF_CA = "ca IN (:ca, '')"
_BOUGHT = "(outcome = 'issued' OR closed_at IS NULL)"
# For each kind of limit, the times of the events that count against it from `:since` on. Events after `:ahead` were stored
# while the clock was ahead.
_TIMES = {
    LimitKind.ORDERS: f"""SELECT opened_at AS at FROM acme_order WHERE {_OF_CA} AND is_renewal = 0
        AND (url IS NOT NULL OR closed_at IS NULL) AND opened_at > :since
        AND opened_at <= :ahead""",  # noqa: S608 - constants
    LimitKind.CERTIFICATES: f"""SELECT opened_at AS at FROM acme_order WHERE {_OF_CA} AND {_BOUGHT} AND id IN (
        SELECT order_id FROM acme_order_name WHERE registered_domain = :key AND opened_at > :since
        AND opened_at <= :ahead)""",  # noqa: S608 - constants
    LimitKind.DUPLICATES: f"""SELECT opened_at AS at FROM acme_order WHERE {_OF_CA} AND {_BOUGHT}
        AND name_set = :key AND opened_at > :since AND opened_at <= :ahead""",  # noqa: S608 - constants
    LimitKind.FAILURES: f"""SELECT closed_at AS at FROM acme_order_name JOIN acme_order ON id = order_id
        WHERE {_OF_CA} AND name = :key AND outcome IN ({literals(FAILED_VALIDATIONS)}) AND closed_at > :since
        AND closed_at <= :ahead""",  # noqa: S608 - constants
}
# A certificate is stored in the transaction that closes its order. So the first version of the domain from then on is its.
# The CA counts from `not_before`; when we collected the certificate may be days later.
# An order from before may have lost its certificate to an archive.
_RENEWED = f"""SELECT 1 FROM acme_order WHERE {_OF_CA} AND name_set = :key AND outcome = 'issued' AND closed_at > :since AND (
    SELECT not_before FROM certificate WHERE certificate.domain_id = acme_order.domain_id AND source = 'c4'
    AND issued_at >= closed_at ORDER BY version LIMIT 1) > :since LIMIT 1"""  # noqa: S608 - constants
# The number of orders that count against the limit of each registered domain: the largest one.
_MOST_CERTIFICATES = f"""SELECT count(DISTINCT named.order_id) AS number FROM acme_order_name AS named
    JOIN acme_order ON acme_order.id = named.order_id
    WHERE {_OF_CA} AND {_BOUGHT} AND named.registered_domain IS NOT NULL
    AND named.opened_at > :since AND named.opened_at <= :ahead
    GROUP BY named.registered_domain ORDER BY number DESC LIMIT 1"""  # noqa: S608 - constants
_TURN_MISSED_AFTER = timedelta(hours=3)
_IN_FORCE = "(until > :now AND until <= :latest)"
_PAUSE = """INSERT INTO ca_pause (ca, scope, at, until, why) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (ca, scope) DO UPDATE SET"""

# After a pause was lifted, the next tick tries what it held back, and those that the CA refused. The revision stays, so that
# passes under way go on.
_REFUSED = f"IN ({literals(REFUSALS)}) AND deleted_at IS NULL"
_DUE_AFTER_PAUSE = """UPDATE domain SET retry_at = :now WHERE finding_code = 'BUDGET_HELD' AND deleted_at IS NULL
    AND finding_wanted = :scope AND retry_at > :now"""
_DUE_AFTER_REFUSAL = f"UPDATE domain SET retry_at = :now WHERE finding_code {_REFUSED} AND retry_at > :now"  # noqa: S608 - constants
_CONFIRMED_AFTER_REFUSAL = f"""UPDATE domain SET unconfirmed_retry_at = :now WHERE unconfirmed_code {_REFUSED}
    AND unconfirmed_retry_at > :now"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class _Usage:
    """The use of the budget of the CA with the directory URL `ca`; see `rules.budget.Usage`."""

    database: Connection
    ca: str
    now: datetime

    def count(self, scope: Scope, limit: Limit) -> int:
        sql = f"SELECT count(*) FROM ({_TIMES[scope.kind]}) AS counted"  # noqa: S608 - constants
        return self.database.read(lambda row: int(row[0]), sql, self._window(scope, limit))[0]

    def event_time(self, scope: Scope, limit: Limit, number: int) -> datetime | None:
        sql = f"{_TIMES[scope.kind]} ORDER BY at DESC LIMIT 1 OFFSET :number"
        values = {**self._window(scope, limit), "number": number}
        found = self.database.read(lambda row: time_of(row["at"]), sql, values)
        return found[0] if found else None

    def most_certificates(self, limit: Limit) -> int:
        """Return how many events count against `limit` of the registered domain for which they are most."""
        values = self._window(Scope(LimitKind.CERTIFICATES), limit)
        found = self.database.read(lambda row: int(row["number"]), _MOST_CERTIFICATES, values)
        return found[0] if found else 0

    def _window(self, scope: Scope, limit: Limit) -> dict[str, object]:
        since, ahead = instant(self.now - limit.window), instant(self.now + limit.window)
        return {"ca": self.ca, "key": scope.key, "since": since, "ahead": ahead}

    def waiting(self, scope: Scope) -> int:
        sql = """SELECT count(*) FROM domain WHERE finding_code = 'BUDGET_HELD' AND deleted_at IS NULL
            AND finding_wanted = ? AND retry_at > ?"""
        return self.database.read(lambda row: int(row[0]), sql, (str(scope), instant(self.now)))[0]

    def longest_pause(self, scopes: tuple[Scope, ...]) -> Pause | None:
        sql = f"""SELECT scope, until, why, ca FROM ca_pause WHERE {_IN_FORCE} AND ca = :ca
            AND scope IN (SELECT value FROM {self.database.dialect.texts(":scopes")})
            ORDER BY until DESC LIMIT 1"""  # noqa: S608 - constants
        values = {
            **_in_force_at(self.now),
            "ca": self.ca,
            "scopes": json.dumps([str(scope) for scope in scopes]),
        }
        found = self.database.read(_pause_of, sql, values)
        return found[0] if found else None

    def has_more_urgent(self, domain: Domain, pause: Pause, tries: int) -> bool:
        sql = """SELECT 1 FROM (
            SELECT domain.finding_tries AS tries, coalesce(domain.foreign_not_after, serving.not_after) AS expiry
            FROM domain LEFT JOIN certificate AS serving ON serving.id = domain.serving_id
            WHERE domain.finding_code = 'BUDGET_HELD' AND domain.deleted_at IS NULL
            AND domain.finding_wanted = :scope AND domain.unconfirmed_code IS NULL AND domain.suspicion_code IS NULL
            AND domain.retry_at > :recently AND domain.id <> :id
            ) AS held WHERE expiry <= :until
            AND (tries, CASE WHEN expiry <= :now THEN 1 ELSE 0 END, expiry) < (:tries, :expired, :expiry) LIMIT 1"""
        current, now = domain.in_service, instant(self.now)
        expiry = "" if current is None else instant(current.not_after)
        values = {
            "scope": str(pause.scope),
            "recently": instant(self.now - _TURN_MISSED_AFTER),
            "id": domain.id,
            "until": instant(pause.until),
            "now": now,
            "tries": tries,
            "expired": int(expiry <= now),
            "expiry": expiry,
        }
        return self.database.read(tuple, sql, values) != []


class SqlBudget(SqlMilestones):
    """The store's `Budget`. `limits` are the rate limits of each CA by the URL of its directory; the first CA comes first."""

    def __init__(self, limits: Mapping[str, Limits]) -> None:
        self._limits = limits
        self._ca = next(iter(limits))
        self._rules = {ca: BudgetRules(each) for ca, each in limits.items()}

    @property
    def cas(self) -> tuple[str, ...]:
        return tuple(self._limits)

    # Limits

    def require_budget(self, domain: Domain, names: tuple[str, ...], *, ca: str = "") -> None:
        with self._database.transaction():
            is_renewal = self.is_renewal(names, ca=ca)
            self._rules_of(ca).require(domain, names, self._usage(self._clock(), ca), is_renewal=is_renewal)

    def find_hold(self, domain: Domain, *, ca: str = "") -> BudgetHeld | None:
        # Rules of their own: the question reserves no position in a queue.
        rules, names = BudgetRules(self._limits_of(ca)), domain.names
        try:
            usage = self._usage(self._clock(), ca)
            rules.require(domain, names, usage, is_renewal=self.is_renewal(names, ca=ca))
        except BudgetHeld as held:
            return held
        return None

    def require_ca(self, domain: Domain, *, ca: str = "") -> None:
        self._rules_of(ca).require_ca(domain, self._usage(self._clock(), ca))

    def _limits_of(self, ca: str) -> Limits:
        return self._limits.get(ca or self._ca, NO_LIMITS)

    def _rules_of(self, ca: str) -> BudgetRules:
        """Return the rules of the CA `ca`; those of a CA that is not configured any more know no limits."""
        return self._rules.get(ca or self._ca) or BudgetRules(NO_LIMITS)

    def _spend_budget(self, domain: Domain, names: tuple[str, ...], ca: str) -> bool:
        """Return whether an order of `domain` for `names` is a renewal. Raise `BudgetHeld` if it must not be placed now.

        If it goes ahead during a pause, the next such order waits for its turn.
        """
        is_renewal, now = self.is_renewal(names, ca=ca), self._clock()
        if self._rules_of(ca).require(domain, names, self._usage(now, ca), is_renewal=is_renewal):
            why = f"{domain.name} was ordered during a pause, because its certificate would expire before the end"
            self.pause(Scope(LimitKind.URGENT), now + budget.URGENT_INTERVAL, why, ca=ca)
        return is_renewal

    def is_renewal(self, names: tuple[str, ...], *, ca: str = "") -> bool:
        return self._is_renewal_at(names, ca or self._ca, self._clock())

    def _is_renewal_at(self, names: tuple[str, ...], ca: str, at: datetime) -> bool:
        since = instant(at - self._limits_of(ca).renewable_for)
        values = {"key": set_key(names), "ca": ca, "since": since}
        return self._database.read(tuple, _RENEWED, values) != []

    def _count_order(
        self, run: Run, order_id: int, names: tuple[str, ...], opened_at: str, *, is_renewal: bool
    ) -> None:
        """Record the names by which an order is counted."""
        insert = (
            "INSERT INTO acme_order_name (order_id, name, registered_domain, opened_at) VALUES (?, ?, ?, ?)"
        )
        for name in set(names):
            owner = None if is_renewal else registered_domain(name)
            run(insert, (order_id, name, owner, opened_at))

    def orders_left(self, now: datetime) -> int | None:
        return self._rules_of("").orders_left(self._usage(now))

    def limits_left(self, now: datetime) -> dict[LimitKind, int]:
        usage, limits, left = self._usage(now), self._limits_of(""), dict[LimitKind, int]()
        if limits.orders is not None:
            used = usage.count(Scope(LimitKind.ORDERS), limits.orders)
            left[LimitKind.ORDERS] = max(0, limits.orders.count - used)
        if limits.certificates is not None:
            used = usage.most_certificates(limits.certificates)
            left[LimitKind.CERTIFICATES] = max(0, limits.certificates.count - used)
        return left

    def issued_by_others(self, since: datetime) -> dict[str, int]:
        others = [ca for ca in self._limits if ca != self._ca]
        sql = f"""SELECT ca, count(*) AS number FROM acme_order
            {self._database.dialect.index_hint("acme_order_by_day")} WHERE opened_at >= :since AND outcome = 'issued'
            AND ca IN (SELECT value FROM {self._database.dialect.texts(":others")}) GROUP BY ca"""  # noqa: S608 - constants
        values = {"since": instant(since), "others": json.dumps(others)}
        read = self._database.read(lambda row: (text_of(row["ca"]), int(row["number"])), sql, values)
        return dict(read) if others else {}

    def waiting_for_budget(self, now: datetime, number: int) -> list[Domain]:
        sql = f"""{self._select_domain} WHERE domain.finding_code = 'BUDGET_HELD' AND domain.deleted_at IS NULL
            AND domain.finding_wanted = :scope AND domain.retry_at > :now ORDER BY domain.retry_at LIMIT :number"""
        values = {"scope": str(Scope(LimitKind.ORDERS)), "now": instant(now), "number": number}
        return self._database.read(rows.domain_of, sql, values)

    def _usage(self, now: datetime, ca: str = "") -> _Usage:
        return _Usage(self._database, ca or self._ca, now)

    # Pauses

    def pause(self, scope: Scope, until: datetime, why: str, *, ca: str = "") -> None:
        with self._database.transaction() as run:
            now = self._clock()
            ended = f"DELETE FROM ca_pause WHERE NOT {_IN_FORCE} AND scope NOT IN ({literals(BREAKERS)})"  # noqa: S608 - constants
            run(ended, _in_force_at(now))
            run(
                f"{_PAUSE} until = excluded.until, why = excluded.why WHERE excluded.until > ca_pause.until",
                (ca or self._ca, str(scope), instant(now), instant(until), why),
            )

    def pauses(self, now: datetime, *, also_of_renewal_info: bool = False, ca: str = "") -> list[Pause]:
        hidden = [LimitKind.URGENT] if also_of_renewal_info else [LimitKind.URGENT, LimitKind.RENEWAL_INFO]
        sql = f"""SELECT scope, until, why, ca FROM ca_pause WHERE {_IN_FORCE} AND ca = :ca
            AND scope NOT IN ({literals(hidden)}) ORDER BY until DESC, scope"""  # noqa: S608 - constants
        values = {**_in_force_at(now), "ca": ca or self._ca}
        return self._database.read(_pause_of, sql, values)

    def lift_pauses(self, scopes: Sequence[Scope]) -> None:
        with self._database.transaction() as run:
            now = instant(self._clock())
            for scope in scopes:
                for ca in self._limits:
                    run("DELETE FROM ca_pause WHERE ca = ? AND scope = ?", (ca, str(scope)))
                run(_DUE_AFTER_PAUSE, {"now": now, "scope": str(scope)})
            run(_DUE_AFTER_REFUSAL, {"now": now})
            run(_CONFIRMED_AFTER_REFUSAL, {"now": now})
            self.record_milestone(Milestone.PAUSE_LIFTED, clean(", ".join(map(str, scopes))))

    def active_pause(self, now: datetime, *scopes: Scope, ca: str = "") -> Pause | None:
        return self._usage(now, ca).longest_pause((*EVERY_REQUEST, *scopes))

    # The circuit breaker

    def is_breaker_open(self, *, ca: str = "") -> bool:
        return self._database.read(tuple, *self._breaker("SELECT 1", LimitKind.BREAKER, ca)) != []

    def trip_breaker(self, why: str, kind: LimitKind = LimitKind.BREAKER, *, ca: str = "") -> None:
        with self._database.transaction() as run:
            now = self._clock()
            row = run(*self._breaker("SELECT at, until", kind, ca)).fetchone()
            last = None if row is None else (time_of(row["at"]), time_of(row["until"]))
            length = budget.next_breaker_pause(last, now)
            if length is not None:
                run(
                    f"{_PAUSE} at = excluded.at, until = excluded.until, why = excluded.why",
                    (ca or self._ca, kind, instant(now), instant(now + length), why),
                )

    def reset_breaker(self, kind: LimitKind = LimitKind.BREAKER, *, ca: str = "") -> None:
        if self._database.read(tuple, *self._breaker("SELECT 1", kind, ca)):
            with self._database.transaction() as run:
                run(*self._breaker("DELETE", kind, ca))

    def _breaker(self, verb: str, kind: LimitKind, ca: str) -> tuple[str, tuple[str, str]]:
        return f"{verb} FROM ca_pause WHERE ca = ? AND scope = ?", (ca or self._ca, kind)


def _in_force_at(now: datetime) -> dict[str, object]:
    return {"now": instant(now), "latest": instant(now + LONGEST_PAUSE)}


def _pause_of(row: Row) -> Pause:
    return Pause(scope_of(row["scope"]), time_of(row["until"]), text_of(row["why"]), text_of(row["ca"]))
