"""Figures of the whole fleet, for monitoring, and the counters of outcomes."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from sslctl.rules import expiry
from sslctl.rules.model import Source
from sslctl.rules.reasons import Code, Status
from sslctl.rules.renewal import RenewalRule
from sslctl.store.interface.metrics import Counted, ReasonCount
from sslctl.store.sql import filters, rows, status_sql
from sslctl.store.sql.connection import Connection
from sslctl.store.sql.part import SqlPart
from sslctl.store.sql.values import text_of, time_of
from sslctl.text import instant

_COUNT = """INSERT INTO counter (name, outcome, number) VALUES (?, ?, 1)
    ON CONFLICT (name, outcome) DO UPDATE SET number = counter.number + 1"""
_IS_KNOWN_TO_C4 = (
    f"(domain.finding_code IS NULL OR domain.finding_code NOT IN ({status_sql.codes(Status.DISCARD)}))"
)
_SERVED_SOURCE = """coalesce(domain.foreign_source,
    CASE WHEN domain.serving_id IS NOT NULL THEN coalesce(serving.source, wanted.source) END)"""


def count_outcome(database: Connection, counted: Counted, outcome: str) -> None:
    """Count one more `outcome` of `counted` in the open transaction of `database`."""
    # Last: all orders change the same few rows, and nobody else can until the commit.
    database.at_commit(lambda run: run(_COUNT, (counted, outcome)))


class SqlMetrics(SqlPart):
    """The store's `Metrics`."""

    def count_by_reason(self, now: datetime) -> list[ReasonCount]:
        counted: Counter[tuple[Status, Code | None]] = Counter()
        sql = filters.count_reasons(self._database.dialect)
        for status, code, number in self._database.read(tuple, sql, {"now": instant(now)}):
            counted[Status(status), None if code is None else Code(code)] += number
        return [
            ReasonCount(*key, number)
            for key, number in sorted(counted.items(), key=lambda item: (item[0][0], item[0][1] or ""))
        ]

    def count_overdue(self, now: datetime, rule: RenewalRule) -> int:
        days_of = self._database.dialect.days_of
        since, until, today = map(
            days_of,
            (
                "coalesce(serving.not_before, wanted.not_before)",
                "coalesce(serving.not_after, wanted.not_after)",
                ":now",
            ),
        )
        # The lifetime of a foreign certificate is not known. `:horizon` spares the arithmetic for most rows.
        sql = f"""SELECT count(*) {self._facts} WHERE domain.deleted_at IS NULL AND {_IS_KNOWN_TO_C4}
            AND {filters.ends_by(self._database.dialect, ":horizon")}
            AND {_SERVED_SOURCE} = 'c4' AND {filters.IN_SERVICE} > :now AND {filters.IN_SERVICE} <= :horizon
            AND (domain.foreign_not_after IS NOT NULL
              OR {until} - {today} <= :share * ({until} - {since}) / 2)"""
        share = expiry.LATE_SHARE
        values = {"now": instant(now), "horizon": instant(now + share * rule.before), "share": share}
        return self._database.read(lambda row: int(row[0]), sql, values)[0]

    def count_uploads_owed(self, now: datetime) -> int:
        sql = f"""SELECT count(*) {self._facts} WHERE domain.deleted_at IS NULL AND {_IS_KNOWN_TO_C4}
            AND domain.wanted_id IS DISTINCT FROM domain.serving_id
            AND wanted.not_after > :now AND wanted.revoked_at IS NULL AND wanted.source = domain.source
            AND coalesce(domain.foreign_not_after, '') <= :now"""  # noqa: S608 - constants
        return self._database.read(lambda row: int(row[0]), sql, {"now": instant(now)})[0]

    def count_suspicions(self) -> dict[Code, int]:
        sql = """SELECT suspicion_code, count(*) FROM domain
            WHERE suspicion_code IS NOT NULL AND deleted_at IS NULL GROUP BY 1 ORDER BY 1"""
        return dict(self._database.read(lambda row: (Code(row[0]), int(row[1])), sql))

    def soonest_expiries(self, now: datetime) -> dict[Source, datetime]:
        sql = (
            filters.soonest_of_plain(self._database.dialect)
            + f"""
            UNION ALL SELECT {_SERVED_SOURCE}, min({filters.IN_SERVICE}) {rows.from_special_domains(self._database.dialect)}
            WHERE domain.deleted_at IS NULL AND NOT ({filters.IS_PLAIN}) AND {filters.IN_SERVICE} > :now GROUP BY 1"""
        )
        soonest: dict[Source, datetime] = {}
        for source, at in self._database.read(tuple, sql, {"now": instant(now)}):
            end = time_of(at)
            soonest[Source(source)] = min(end, soonest.get(Source(source), end))
        return soonest

    def outcomes(self, counted: Counted) -> dict[str, int]:
        sql = "SELECT outcome, number FROM counter WHERE name = ? ORDER BY outcome"
        return dict(self._database.read(lambda row: (text_of(row[0]), int(row[1])), sql, (counted,)))

    @property
    def _facts(self) -> str:
        return rows.from_domain_facts(self._database.dialect)
