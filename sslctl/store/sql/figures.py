"""Figures over days; see `sslctl.store.interface.figures`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime

from sslctl.rules.limits import Limits
from sslctl.rules.model import Source
from sslctl.rules.reasons import Status
from sslctl.rules.renewal_days import day_of, start_of
from sslctl.store.interface.figures import STATUS_DAYS, ExpiryCount, OrderCount, Outcome
from sslctl.store.sql.connection import Run
from sslctl.store.sql.queries import SqlQueries
from sslctl.store.sql.values import time_of
from sslctl.text import instant

# Times are grouped by their hour, which is cut out of the text: computing with times takes several times as long. Days in
# Singapore begin at a full hour in UTC.
_EXPIRIES = """SELECT substr(at, 1, 13) AS hour, source, count(*) AS number FROM (
      SELECT held.not_after AS at, held.source AS source FROM domain {whole}
      JOIN certificate AS held {of_certificate} ON held.id = domain.serving_id
      WHERE domain.deleted_at IS NULL AND domain.foreign_not_after IS NULL
      UNION ALL
      SELECT foreign_not_after, foreign_source FROM domain {of_domain}
      WHERE deleted_at IS NULL AND foreign_not_after IS NOT NULL
    ) AS served WHERE at >= :begin AND at < :end GROUP BY 1, 2"""
_ORDERS = f"""SELECT substr(opened_at, 1, 13) AS hour, is_renewal,
    CASE WHEN closed_at IS NULL THEN '{Outcome.OPEN}' WHEN outcome = 'issued' THEN '{Outcome.ISSUED}'
      ELSE '{Outcome.FAILED}' END AS result, count(*) AS number
    FROM acme_order {{hint}} WHERE opened_at >= :begin AND opened_at < :end AND ca IN (SELECT value FROM {{cas}}) GROUP BY 1, 2, 3"""  # noqa: S608 - constants
# A record of an earlier day that was made after that of this day: the clock was ahead when this day's was made, or is behind.
_IS_RECORDED = """SELECT 1 FROM status_count WHERE day = :day AND sequence > coalesce(
    (SELECT max(sequence) FROM status_count WHERE day < :day), 0) LIMIT 1"""
_PRUNE = """DELETE FROM status_count WHERE day < (
    SELECT min(day) FROM (SELECT DISTINCT day FROM status_count ORDER BY day DESC LIMIT :kept) AS kept)"""


class SqlFigures(SqlQueries):
    """The store's `Figures` and `StatusCounts`."""

    _limits: Mapping[str, Limits]

    def expiries(self, first: date, last: date) -> list[ExpiryCount]:
        dialect = self._database.dialect
        hint = dialect.index_hint
        # In the order of the file, the certificates of neighbours are neighbours too.
        sql = _EXPIRIES.format(
            whole=dialect.no_index_hint(),
            of_certificate=hint("certificate_facts"),
            of_domain=hint("domain_facts"),
        )
        counted: Counter[tuple[date, Source]] = Counter()
        for hour, source, number in self._database.read(tuple, sql, _range(first, last)):
            counted[_day_of(hour), Source(source)] += number
        return [ExpiryCount(*key, number) for key, number in sorted(counted.items())]

    def orders(self, first: date, last: date) -> list[OrderCount]:
        dialect = self._database.dialect
        sql = _ORDERS.format(hint=dialect.index_hint("acme_order_by_day"), cas=dialect.texts(":cas"))
        counted: Counter[tuple[date, bool, Outcome]] = Counter()
        # Orders of the first releases have no CA.
        values = {**_range(first, last), "cas": json.dumps([*self._limits, ""])}
        for hour, is_renewal, outcome, number in self._database.read(tuple, sql, values):
            counted[_day_of(hour), bool(is_renewal), Outcome(outcome)] += number
        return [OrderCount(*key, number) for key, number in sorted(counted.items())]

    def record_status_counts(self, now: datetime) -> None:
        day = str(_date_of(now))
        if self._database.read(tuple, _IS_RECORDED, {"day": day}):
            return
        # Counted before the transaction: other processes need not wait for it.
        counts = self.count_by_status(now)
        with self._database.transaction() as run:
            if run(_IS_RECORDED, {"day": day}).fetchone() is None:
                _record(run, day, counts)

    def status_counts(self, first: date, last: date) -> Mapping[date, Mapping[Status, int]]:
        sql = (
            "SELECT day, sequence, status, number FROM status_count WHERE day >= ? AND day <= ? ORDER BY day"
        )
        found: dict[date, dict[Status, int]] = {}
        newest = 0
        for day, sequence, status, number in self._database.read(tuple, sql, (str(first), str(last))):
            if sequence >= newest:
                newest = sequence
                found.setdefault(date.fromisoformat(day), {})[Status(status)] = number
        return found


def _record(run: Run, day: str, counts: Mapping[Status, int]) -> None:
    run("DELETE FROM status_count WHERE day = ?", (day,))
    (sequence,) = run("SELECT coalesce(max(sequence), 0) + 1 FROM status_count").fetchone()
    for status in Status:
        values = (day, status, counts.get(status, 0), sequence)
        run("INSERT INTO status_count (day, status, number, sequence) VALUES (?, ?, ?, ?)", values)
    run(_PRUNE, {"kept": STATUS_DAYS})


def _range(first: date, last: date) -> dict[str, object]:
    """Return the values of a query over the times of the days from `first` to `last`."""
    begin, end = start_of(first.toordinal()), start_of(last.toordinal() + 1)
    return {"begin": instant(begin), "end": instant(end)}


def _day_of(hour: str) -> date:
    return _date_of(time_of(f"{hour}:00:00Z"))


def _date_of(at: datetime) -> date:
    return date.fromordinal(day_of(at))
