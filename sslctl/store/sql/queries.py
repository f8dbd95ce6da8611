"""Queries of domains. None of them changes anything."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from operator import itemgetter

from sslctl.errors import NotManaged, Problem
from sslctl.rules import onboarding
from sslctl.rules.model import Domain
from sslctl.rules.reasons import Code, Status
from sslctl.rules.schedule import RETRY_LATEST
from sslctl.store.interface.domains import EVERYTHING, Codes, Listing, Query, Sort
from sslctl.store.sql import filters, rows, status_sql
from sslctl.store.sql.connection import Row, T
from sslctl.store.sql.part import SqlPart
from sslctl.store.sql.remarks import CUSTOMER
from sslctl.store.sql.values import literals, names_of, text_of
from sslctl.text import instant

_BLOCK = 500
_FIRST: Callable[[Row], int] = itemgetter(0)
# SQL has no OFFSET without a LIMIT in every database.
_ALL = 1 << 62
# The other names are a JSON array. Their number is one more than that of its commas; it is shown behind " +".
_COMMAS = "(length(domain.sans) - length(replace(domain.sans, ',', '')))"
_SHOWN_LENGTH = f"length(domain.name) + CASE WHEN domain.sans = '[]' THEN 0 WHEN {_COMMAS} < 9 THEN 3 WHEN {_COMMAS} < 99 THEN 4 ELSE 5 END"

_ORDER_BY = {
    Sort.NAME: ("domain.name",),
    Sort.STATUS: (status_sql.STATUS_RANK, "domain.name"),
    Sort.CREATED: ("domain.created_at", "domain.name"),
    Sort.EXPIRES: (f"{status_sql.EXPIRY} IS NULL", status_sql.EXPIRY, "domain.created_at", "domain.name"),
}
# From this offset on it is worth counting the domains, because a page near the end is found faster from there.
_DEEP = 1000


class SqlQueries(SqlPart):
    """The reading half of the store's `Domains`."""

    def domain(self, name: str) -> Domain:
        found = self.find(name)
        if found is not None and found.deleted_at is None:
            return found
        holder = self.holders([name]).get(name)
        if holder is not None:
            raise NotManaged(
                f"{name} is another name of the certificate of {holder}, and no domain of its own here",
                hint=f"name {holder} instead",
                problem=Problem("unmanaged.other_name", {"name": name, "holder": holder}),
            )
        if found is None:
            raise NotManaged(
                f"{name} is not managed here",
                hint=f"`sslctl list` shows what is; `sslctl add {name}` takes it in",
                problem=Problem("unmanaged.unknown", {"name": name}),
            )
        raise NotManaged(
            f"{name} was deleted",
            hint=f"`sslctl add {name}` takes it in again",
            problem=Problem("unmanaged.deleted", {"name": name}),
        )

    def find(self, name: str) -> Domain | None:
        found = self._database.read(rows.domain_of, f"{self._select_domain} WHERE domain.name = ?", (name,))
        return found[0] if found else None

    def holders(self, names: Sequence[str]) -> dict[str, str]:
        wanted = set(names)
        sql = "SELECT name, sans FROM domain WHERE deleted_at IS NULL AND sans <> '[]' ORDER BY name DESC"
        found = self._database.read(lambda row: (text_of(row["name"]), names_of(row["sans"])), sql)
        return {san: name for name, sans in found for san in sans if san in wanted}

    def listing(self, query: Query, now: datetime, *, measure_names: bool = False) -> Listing:
        where, values = self._condition(query, now)
        ids, longest = self._found(query, where, values, _SHOWN_LENGTH if measure_names else "")
        domains = self._in_turn(
            rows.summary_of, rows.select_domain_summary(self._database.dialect), where, values, ids
        )
        return Listing(len(ids), longest, domains)

    def domains(self, query: Query, now: datetime) -> Iterator[Domain]:
        where, values = self._condition(query, now)
        ids, _ = self._found(query, where, values)
        return self._in_turn(rows.domain_of, self._select_domain, where, values, ids)

    def domains_named(self, names: Sequence[str]) -> Iterator[Domain]:
        sql = f"{self._select_domain} WHERE domain.name IN (SELECT value FROM {self._database.dialect.texts('?')})"  # noqa: S608 - constants
        for start in range(0, len(names), _BLOCK):
            block = names[start : start + _BLOCK]
            found = self._database.read(rows.domain_of, sql, (json.dumps(block),))
            domains = {domain.name: domain for domain in found}
            yield from [domains[name] for name in block if name in domains]

    def candidates(self, now: datetime, horizon: timedelta) -> Iterator[Domain]:
        # A domain that serves another certificate than the wanted one is always a candidate; the certificate of any other is in use.
        in_use = self._database.dialect.index_hint("certificate_in_use")
        where = f"""domain.deleted_at IS NULL AND (
            domain.retry_at <= :now OR domain.retry_at > :latest AND domain.finding_code <> 'BUDGET_HELD'
            OR domain.unconfirmed_retry_at <= :now OR domain.unconfirmed_retry_at > :latest
            OR domain.finding_code IS NULL AND (
                domain.serving_id IS NULL OR domain.wanted_id IS DISTINCT FROM domain.serving_id
                OR domain.wanted_id IN (
                  SELECT id FROM certificate {in_use} WHERE not_after <= :horizon AND replaced_at IS NULL
                )
                OR domain.wanted_id IN (SELECT id FROM certificate WHERE revoked_at IS NOT NULL)
                OR domain.serving_id IN (
                  SELECT id FROM certificate WHERE ari_renew_at <= :now AND replaced_at IS NULL
                )
            ))"""  # noqa: S608 - constants
        latest = instant(now + RETRY_LATEST)
        values: dict[str, object] = {"now": instant(now), "latest": latest, "horizon": instant(now + horizon)}
        ids, _ = self._found(Query(sort=Sort.EXPIRES), where, values)
        return self._in_turn(rows.domain_of, self._select_domain, where, values, ids)

    def interrupted(self) -> list[Domain]:
        sql = f"""{self._select_domain} WHERE domain.finding_code IS NULL AND domain.deleted_at IS NULL
            AND domain.source = 'c4' AND domain.id IN (SELECT domain_id FROM acme_order WHERE closed_at IS NULL)"""  # noqa: S608 - constants
        return self._database.read(rows.domain_of, sql)

    def suspected(self, since: datetime | None) -> list[Domain]:
        # The inner query is answered from its index alone; few domains have a suspicion.
        sql = f"""{self._select_domain} WHERE domain.id IN (
            SELECT id FROM domain WHERE suspicion_code IS NOT NULL AND deleted_at IS NULL AND suspicion_at >= ?)
            ORDER BY domain.name"""  # noqa: S608 - constants
        return self._database.read(rows.domain_of, sql, ("" if since is None else instant(since),))

    def least_observed(self, before: datetime, limit: int) -> Iterator[Domain]:
        sql = """SELECT id FROM (
            SELECT id, observed_at, name FROM domain WHERE deleted_at IS NULL
            AND (observed_at IS NULL OR observed_at < :before OR observed_at > :tomorrow)
            AND (retry_at IS NULL OR retry_at > :tomorrow)
            ORDER BY observed_at NULLS FIRST LIMIT :limit) AS oldest
            ORDER BY observed_at IS NOT NULL, observed_at, name"""
        tomorrow = instant(self._clock() + timedelta(days=1))
        return self._managed_in_turn(sql, {"before": instant(before), "limit": limit, "tomorrow": tomorrow})

    def dns_checks_due(
        self, now: datetime, every: timedelta, margin: timedelta, limit: int
    ) -> Iterator[Domain]:
        dialect = self._database.dialect
        hint = dialect.index_hint
        checked, end = map(dialect.days_of, ("domain.dns_checked_at", "held.not_after"))
        # Those that expire soon are read in the order of the file. Without a limit a database may leave out this order.
        well = "domain.deleted_at IS NULL AND domain.source = 'c4' AND domain.finding_code IS NULL AND domain.serving_id IS NOT NULL"
        sql = f"""SELECT domain.id FROM domain WHERE domain.id IN (
            SELECT id FROM (
              SELECT * FROM (SELECT id, dns_checked_at FROM domain {hint("domain_by_dns_check")} WHERE {well}
                AND (dns_checked_at IS NULL OR dns_checked_at < :before OR dns_checked_at > :tomorrow)
                ORDER BY dns_checked_at NULLS FIRST LIMIT :limit) AS weekly
              UNION
              SELECT id, dns_checked_at FROM domain {hint("domain_by_caution")}
                WHERE caution_code IS NOT NULL AND dns_checked_at < :yesterday AND {well}
              ORDER BY dns_checked_at NULLS FIRST LIMIT :limit) AS due
            UNION
            SELECT domain.id FROM (SELECT domain_id, id, not_after FROM certificate {hint("certificate_in_use")}
                WHERE not_after <= :horizon AND replaced_at IS NULL ORDER BY domain_id LIMIT {_ALL}) AS held
              CROSS JOIN domain WHERE {dialect.serves("held")} AND {well}
              AND {checked} < {end} - :days)
            ORDER BY domain.dns_checked_at IS NOT NULL, domain.dns_checked_at, domain.name"""  # noqa: S608 - constants
        values = {
            "before": instant(now - every),
            "yesterday": instant(now - timedelta(hours=23, minutes=30)),
            "tomorrow": instant(now + timedelta(days=1)),
            "limit": limit,
            "horizon": instant(now + margin),
            "days": margin / timedelta(days=1),
        }
        return self._managed_in_turn(sql, values)

    def new_domains_to_look_at(self, now: datetime, limit: int) -> list[Domain]:
        last = "CASE WHEN dns_checked_at > finding_at THEN dns_checked_at ELSE finding_at END"
        sql = f"""{self._select_domain} WHERE domain.id IN (
            SELECT id FROM domain WHERE deleted_at IS NULL AND source = 'c4'
            AND finding_code IN ({literals(onboarding.LOOKED_AT)})
            AND wanted_id IS NULL AND serving_id IS NULL AND foreign_source IS NULL
            AND created_at > :new AND created_at <= :now
            AND ({last} > :now OR {last} <= :hourly OR created_at > :dense AND {last} <= :densely)
            ORDER BY {last}, id LIMIT :limit)
            ORDER BY CASE WHEN domain.dns_checked_at > domain.finding_at THEN domain.dns_checked_at
              ELSE domain.finding_at END, domain.id"""  # noqa: S608 - constants
        values = {
            "now": instant(now),
            "new": instant(now - onboarding.NEW_FOR),
            "dense": instant(now - onboarding.DENSE_FOR),
            "densely": instant(now - onboarding.DENSE_EVERY),
            "hourly": instant(now - onboarding.EVERY),
            "limit": limit,
        }
        return self._database.read(rows.domain_of, sql, values)

    def _found(
        self, query: Query, where: str, values: dict[str, object], length: str = ""
    ) -> tuple[list[int], int]:
        """Return the ids of the domains for which `where` holds, sorted and limited as in `query`, and the longest `length`.

        `length` is an SQL expression; without it the result has 0. An index alone answers many queries if it names no column.
        """
        where = filters.narrowed(self._database.dialect, query, where)
        order_by = self._by_urgency() if query.sort is Sort.URGENCY else _ORDER_BY[query.sort]
        tables, is_from_end = self._tables(query, where, length, order_by), False
        offset, limit = query.offset, query.limit
        if limit is not None and offset >= _DEEP:
            number = self._count(query, where, values)
            is_from_end = offset > number // 2
            if is_from_end:
                offset, limit = max(0, number - offset - limit), min(limit, max(0, number - offset))
        if limit is not None and offset + limit < _DEEP and _is_among_first(query, is_from_end=is_from_end):
            chosen = "domain.deleted_at IS NULL" if query.pattern is None else where
            # Those in Success end after now, the next ones first in both orders.
            sort = Sort.URGENCY if query.statuses else query.sort
            among = filters.among_first(self._database.dialect, sort, chosen, is_from_end=is_from_end)
            where = f"{where} AND {among}"
            tables = rows.from_domain_facts(self._database.dialect)
            values = {**values, "reach": max(1, offset + limit)}
        ordered = ", ".join(f"{each} DESC" if is_from_end else each for each in order_by)
        sql = f"SELECT domain.id{length and ', '}{length} {tables} WHERE {where} ORDER BY {ordered}"
        if limit is not None or offset:
            sql = f"{sql} LIMIT :limit OFFSET :offset"
            values = {**values, "limit": _ALL if limit is None else limit, "offset": offset}
        longest = 0
        if length:
            measured = self._database.read(tuple, sql, values)
            ids, longest = [number for number, _ in measured], max((size for _, size in measured), default=0)
        else:
            ids = self._database.read(_FIRST, sql, values)
        return ids[::-1] if is_from_end else ids, longest

    def _count(self, query: Query, where: str, values: dict[str, object]) -> int:
        if query.pattern is None and _is_of_all_by_expiry(query):
            return self.count_managed()
        tables = self._special(query) or rows.from_domains_to_count(self._database.dialect, where)
        sql = f"SELECT count(*) {tables} WHERE {where}"
        return self._database.read(lambda row: int(row[0]), sql, values)[0]

    def _tables(self, query: Query, where: str, length: str, order_by: Iterable[str]) -> str:
        """Return the tables of a query of `_found`, in the order of the file if it reads columns that no index has."""
        special = self._special(query)
        if special:
            return special
        is_in_order_of_index = query.sort is Sort.NAME and query.pattern is None
        if query.sort is Sort.URGENCY or (length and not is_in_order_of_index):
            return rows.from_whole_domains(self._database.dialect)
        # Without the hint the database leaves out joined tables that the query does not use.
        is_joined = "wanted." in where or any("wanted." in each for each in order_by)
        return rows.from_domain_facts(self._database.dialect) if is_joined else rows.FROM_DOMAIN

    def _managed_in_turn(self, sql: str, values: dict[str, object]) -> Iterator[Domain]:
        """Return the domains whose ids the query `sql` finds, in its order, without those that are deleted when their turn comes."""
        ids = self._database.read(_FIRST, sql, values)
        return self._in_turn(rows.domain_of, self._select_domain, "domain.deleted_at IS NULL", {}, ids)

    def _in_turn(
        self,
        make: Callable[[Row], T],
        select: str,
        where: str,
        values: dict[str, object],
        ids: Sequence[int],
    ) -> Iterator[T]:
        """Yield the result of `make` for the rows of the domains `ids` for which `where` still holds."""
        wanted = f"(SELECT value FROM {self._database.dialect.integers(':ids')})"  # noqa: S608 - constants
        sql = f"{select} WHERE domain.id IN {wanted} AND {where}"
        matching = frozenset(json.loads(str(values.get("matching", "[]"))))
        for start in range(0, len(ids), _BLOCK):
            block = ids[start : start + _BLOCK]
            of_block = {**values, "ids": json.dumps(block)}
            if "matching" in values:
                # Those of other blocks would be read again with each block.
                of_block["matching"] = json.dumps(sorted(matching.intersection(block)))
            made = dict(self._database.read(lambda row: (row[0], make(row)), sql, of_block))
            yield from [made[each] for each in block if each in made]

    def customers(self) -> dict[str, str]:
        sql = f"SELECT name, {CUSTOMER} FROM domain WHERE {CUSTOMER} <> '' AND deleted_at IS NULL"  # noqa: S608 - constants
        return dict(self._database.read(lambda row: (text_of(row[0]), text_of(row[1])), sql))

    def assignees(self) -> list[str]:
        sql = "SELECT DISTINCT assignee FROM domain WHERE assignee <> '' AND deleted_at IS NULL ORDER BY assignee"
        return self._database.read(lambda row: text_of(row[0]), sql)

    def snoozed(self) -> list[Domain]:
        where = "domain.snooze IS NOT NULL AND domain.deleted_at IS NULL ORDER BY domain.name"
        return self._database.read(rows.domain_of, f"{self._select_domain} WHERE {where}")

    def count_managed(self) -> int:
        sql = "SELECT count(*) FROM domain WHERE deleted_at IS NULL"
        return self._database.read(lambda row: int(row[0]), sql)[0]

    def count_findings(self, code: Code, since: datetime | None = None) -> int:
        sql = """SELECT count(*) FROM domain WHERE deleted_at IS NULL AND wanted_id IS NOT NULL
            AND finding_code = :code AND finding_at >= :since"""
        values = {"code": code, "since": "" if since is None else instant(since)}
        return self._database.read(lambda row: int(row[0]), sql, values)[0]

    def count_new_findings(self, code: Code, since: datetime) -> int:
        # Events have no index by time.
        sql = """SELECT count(DISTINCT domain.id) FROM domain JOIN
            (SELECT domain_id, kind, at FROM event ORDER BY id DESC LIMIT 20000) AS recent ON recent.domain_id = domain.id
            WHERE recent.kind = 'found' AND recent.at >= :since
            AND domain.deleted_at IS NULL AND domain.wanted_id IS NOT NULL AND domain.finding_code = :code"""
        return self._database.read(lambda row: int(row[0]), sql, {"code": code, "since": instant(since)})[0]

    def count_cautions(self, code: Code, since: datetime) -> int:
        sql = (
            "SELECT count(*) FROM domain WHERE deleted_at IS NULL AND caution_code = ? AND caution_since >= ?"
        )
        return self._database.read(lambda row: int(row[0]), sql, (code, instant(since)))[0]

    def count_checked(self, since: datetime) -> int:
        sql = "SELECT count(*) FROM domain WHERE deleted_at IS NULL AND checked_at >= ?"
        return self._database.read(lambda row: int(row[0]), sql, (instant(since),))[0]

    def unwell_since(self, since: datetime) -> list[Domain]:
        where = f"domain.checked_at >= ? AND domain.deleted_at IS NULL AND NOT ({filters.IS_PLAIN})"
        sql = f"{self._select_domain} WHERE {where} ORDER BY domain.name"
        return self._database.read(rows.domain_of, sql, (instant(since),))

    def count_dns_checks(self, since: datetime) -> int:
        sql = "SELECT count(*) FROM domain WHERE deleted_at IS NULL AND dns_checked_at >= ?"
        return self._database.read(lambda row: int(row[0]), sql, (instant(since),))[0]

    def count_by_status(self, now: datetime, query: Query = EVERYTHING) -> dict[Status, int]:
        where, values = self._condition(query, now)
        where = filters.narrowed(self._database.dialect, query, where)
        if query == EVERYTHING:
            sql = filters.count_reasons(self._database.dialect)
        else:
            tables = self._special(query) or rows.from_domain_facts(self._database.dialect)
            sql = (
                f"SELECT {status_sql.STATUS} AS status, count(*) AS number {tables} WHERE {where} GROUP BY 1"
            )
        counted: Counter[Status] = Counter()
        for status, number in self._database.read(status_sql.count_of, sql, values):
            counted[status] += number
        return dict(counted)

    def count_by_codes(self, now: datetime, query: Query = EVERYTHING) -> dict[Codes, int]:
        where, values = self._condition(query, now)
        where = filters.narrowed(self._database.dialect, query, where)
        sql = filters.count_codes(self._database.dialect, query, where)
        counted: Counter[Codes] = Counter()
        for codes, number in self._database.read(filters.codes_of_row, sql, values | filters.code_times(now)):
            counted[codes] += number
        return dict(counted)

    def _special(self, query: Query) -> str:
        """Return the tables of a query that leaves out the many plain domains, empty for any other."""
        is_special = filters.leaves_out_plain(query) and not query.deleted
        return rows.from_special_domains(self._database.dialect) if is_special else ""

    def _condition(self, query: Query, now: datetime) -> tuple[str, dict[str, object]]:
        """Return `query` as an SQL condition, with its values."""
        where, values = filters.condition(query, now)
        if query.pattern is None:
            return where, values
        pattern = filters.PatternSql(query.pattern)
        values |= pattern.values
        if not pattern.maybe:
            return f"{where} AND ({pattern.surely})", values
        dialect = self._database.dialect
        tables, doubtful_by = rows.from_domains_to_count(dialect, where), "TRUE"
        if pattern.has_few_doubts:
            tables = rows.from_domains_with_other_names(dialect)
            doubtful_by = filters.HAS_OTHER_NAMES
        sql = f"""SELECT domain.id, domain.name, domain.sans {tables}
            WHERE {where} AND {doubtful_by} AND ({pattern.maybe}) AND NOT ({pattern.surely})"""
        doubtful = self._database.read(lambda row: (row[0], (row[1], *names_of(row[2]))), sql, values)
        matching = [number for number, names in doubtful if query.pattern.matches(names)]
        values["matching"] = json.dumps(matching)
        chosen = f"domain.id IN (SELECT value FROM {dialect.integers(':matching')})"  # noqa: S608 - constants
        return f"{where} AND ({pattern.surely} OR {chosen})", values

    def _by_urgency(self) -> tuple[str, ...]:
        days_of = self._database.dialect.days_of
        seconds = filters.urgency(days_of("{end}"), days_of(":now"))
        # One expression: it is evaluated for every row. What never had a certificate comes last.
        return f"coalesce({seconds}, 1e18)", "domain.created_at", "domain.name"


def _is_of_all_by_expiry(query: Query) -> bool:
    """Return whether `query` is for some of all managed domains, or of those that match a pattern, in an order by expiry."""
    chosen = replace(EVERYTHING, sort=query.sort, limit=query.limit, offset=query.offset)
    is_unfiltered = query == replace(chosen, pattern=query.pattern)
    return is_unfiltered and query.sort in (Sort.URGENCY, Sort.EXPIRES, Sort.STATUS)


def _is_among_first(query: Query, *, is_from_end: bool) -> bool:
    """Return whether `filters.among_first` leaves out no domain of `query`, and is worth its time."""
    by_expiry = query.sort in (Sort.URGENCY, Sort.EXPIRES)
    if query.statuses == (Status.SUCCESS,) and by_expiry and not is_from_end:
        # Each plain domain whose certificate has not expired is in Success.
        query = replace(query, statuses=())
    # Of few domains that match a pattern, the first ones by expiry are far apart; from the end they are more than `_DEEP`.
    return _is_of_all_by_expiry(query) and (query.pattern is None or is_from_end)
