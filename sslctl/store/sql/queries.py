"""What is read from the SQLite store, apart from what is changed in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from sslctl.errors import NotManaged
from sslctl.rules.model import Bundle, Certificate, Domain, Event, Mark, Milestone, Order
from sslctl.rules.reasons import Status
from sslctl.rules.schedule import RETRY_LATEST
from sslctl.store.interface.domains import Listing, Query, Sort
from sslctl.store.keyring import Keyring
from sslctl.store.sql import rows
from sslctl.store.sql.connection import Connection, Row, T, expect
from sslctl.text import instant

_BLOCK = 500

CLOSED = "the order was closed by another sslctl meanwhile"

_ORDER_BY = {
    Sort.NAME: "domain.name",
    Sort.STATUS: f"{rows.STATUS_RANK}, domain.name",
    Sort.CREATED: "domain.created_at, domain.name",
    Sort.EXPIRES: f"{rows.EXPIRY} IS NULL, {rows.EXPIRY}, domain.created_at, domain.name",
}


class Queries:
    """The reading half of `Store`."""

    _database: Connection
    _keyring: Keyring

    def domain(self, name: str) -> Domain:
        found = self.find(name)
        if found is None:
            raise NotManaged(
                f"{name} is not managed here",
                hint=f"`sslctl list` shows what is; `sslctl add {name}` takes it in",
            )
        if found.deleted_at is not None:
            raise NotManaged(f"{name} was deleted", hint=f"`sslctl add {name}` takes it in again")
        return found

    def find(self, name: str) -> Domain | None:
        found = self._database.read(rows.domain_of, f"{rows.SELECT_DOMAIN} WHERE domain.name = ?", (name,))
        return found[0] if found else None

    def listing(self, query: Query, now: datetime) -> Listing:
        where, values = _asked(query, now)
        found = self._found(query, where, values)
        domains = self._in_turn(rows.summary_of, rows.SELECT_DOMAIN_SUMMARY, where, values, found)
        return Listing(len(found), max(found.values(), default=0), domains)

    def domains(self, query: Query, now: datetime) -> Iterator[Domain]:
        where, values = _asked(query, now)
        found = self._found(query, where, values)
        return self._in_turn(rows.domain_of, rows.SELECT_DOMAIN, where, values, found)

    def domains_named(self, names: Sequence[str]) -> Iterator[Domain]:
        sql = f"{rows.SELECT_DOMAIN} WHERE domain.name IN (SELECT value FROM json_each(?))"  # noqa: S608 - constants
        for start in range(0, len(names), _BLOCK):
            block = names[start : start + _BLOCK]
            made = {
                domain.name: domain
                for domain in self._database.read(rows.domain_of, sql, (json.dumps(block),))
            }
            yield from [made[each] for each in block if each in made]

    def candidates(self, now: datetime, horizon: timedelta) -> Iterator[Domain]:
        # Where another certificate is served than is wanted, the domain is one anyhow.
        where = """domain.deleted_at IS NULL AND (
            domain.retry_at <= :now OR domain.retry_at > :latest AND domain.finding_code <> 'BUDGET_HELD'
            OR domain.finding_code IS NULL AND (
                domain.serving_id IS NULL OR domain.wanted_id IS NOT domain.serving_id
                OR wanted.not_after <= :horizon OR wanted.revoked_at IS NOT NULL
                OR domain.serving_id IN (
                  SELECT id FROM certificate WHERE ari_renew_at <= :now AND replaced_at IS NULL
                )
            ))"""
        latest = instant(now + RETRY_LATEST)
        values: dict[str, object] = {"now": instant(now), "latest": latest, "horizon": instant(now + horizon)}
        found = self._found(Query(sort=Sort.EXPIRES), where, values)
        return self._in_turn(rows.domain_of, rows.SELECT_DOMAIN, where, values, found)

    def interrupted(self) -> list[Domain]:
        sql = f"""{rows.SELECT_DOMAIN} WHERE domain.finding_code IS NULL AND domain.deleted_at IS NULL
            AND domain.source = 'c4' AND domain.id IN (SELECT domain_id FROM acme_order WHERE closed_at IS NULL)"""  # noqa: S608 - constants
        return self._database.read(rows.domain_of, sql)

    def _found(self, query: Query, where: str, values: dict[str, object]) -> dict[int, int]:
        """Give the ids of the domains for which `where` holds, as `query` sorts and cuts them, with their names' lengths."""
        sql = f"WHERE {where} ORDER BY {_ORDER_BY[query.sort]} LIMIT :limit"
        # Without the hint SQLite leaves tables out that nothing is asked of.
        tables = rows.FROM_DOMAIN_FACTS if "wanted." in sql else rows.FROM_DOMAIN
        sql = f"SELECT domain.id, length(domain.name) {tables} {sql}"
        limit = -1 if query.limit is None else query.limit
        return dict(self._database.read(tuple, sql, {**values, "limit": limit}))

    def _in_turn(
        self,
        make: Callable[[Row], T],
        select: str,
        where: str,
        values: dict[str, object],
        found: Iterable[int],
    ) -> Iterator[T]:
        """Give what `make` reads out of the rows of the domains `found`, as far as `where` still holds."""
        sql = f"{select} WHERE domain.id IN (SELECT value FROM json_each(:ids)) AND {where}"  # noqa: S608 - constants
        ids = list(found)
        for start in range(0, len(ids), _BLOCK):
            block = ids[start : start + _BLOCK]
            of_block = {**values, "ids": json.dumps(block)}
            made = dict(self._database.read(lambda row: (row[0], make(row)), sql, of_block))
            yield from [made[each] for each in block if each in made]

    def count_by_status(self, now: datetime) -> dict[Status, int]:
        sql = f"SELECT {rows.STATUS} AS status, count(*) AS number {rows.FROM_DOMAIN_FACTS}"
        sql += " WHERE domain.deleted_at IS NULL GROUP BY 1"
        return dict(self._database.read(rows.count_of, sql, {"now": instant(now)}))

    def certificates(self, domain: Domain) -> list[Certificate]:
        sql = f"{rows.SELECT_CERTIFICATE} WHERE domain_id = ? ORDER BY version DESC"
        return self._database.read(rows.certificate_of, sql, (domain.id,))

    def bundle(self, certificate: Certificate) -> Bundle:
        return self._database.read(self._bundle_of, rows.SELECT_BUNDLE, (certificate.id,))[0]

    def require_unchanged(self, certificate: Certificate) -> None:
        self._database.read(rows.require_unchanged, rows.SELECT_BUNDLE, (certificate.id,))

    def _bundle_of(self, row: Row) -> Bundle:
        rows.require_unchanged(row)
        key = self._keyring.decrypt(row["sealed_key"]) if row["sealed_key"] else ""
        return Bundle(row["pem"], row["chain_pem"], key)

    def find_open_order(self, domain: Domain) -> Order | None:
        sql = "SELECT * FROM acme_order WHERE domain_id = ? AND closed_at IS NULL"
        found = self._database.read(rows.order_of, sql, (domain.id,))
        return found[0] if found else None

    def order_key(self, order: Order) -> str:
        sql = "SELECT sealed_key FROM acme_order WHERE id = ? AND closed_at IS NULL"
        found = self._database.read(lambda row: self._keyring.decrypt(row["sealed_key"]), sql, (order.id,))
        expect(found != [], CLOSED)
        return found[0]

    def milestones(self) -> dict[Milestone, Mark]:
        return dict(self._database.read(rows.mark_of, "SELECT * FROM milestone"))

    def events(self, domain: Domain) -> list[Event]:
        sql = "SELECT * FROM event WHERE domain_id = ? ORDER BY id"
        return self._database.read(rows.event_of, sql, (domain.id,))


def _asked(query: Query, now: datetime) -> tuple[str, dict[str, object]]:
    """Give the SQL condition that `query` stands for, with its values."""
    where = ["domain.deleted_at IS NOT NULL" if query.deleted else "domain.deleted_at IS NULL"]
    values: dict[str, object] = {"now": instant(now)}
    if query.statuses:
        where.append(f"{rows.STATUS} IN ({rows.literals(query.statuses)})")
    if query.source is not None:
        where.append("domain.source = :source")
        values["source"] = query.source
    if query.expiring_within is not None:
        where.append(f"{rows.EXPIRY} <= :horizon")
        values["horizon"] = instant(now + query.expiring_within)
    return " AND ".join(where), values
