"""What is read from the SQLite store, apart from what is changed in it."""

from __future__ import annotations

from datetime import datetime, timedelta
from sqlite3 import Row

from sslctl.errors import Busy, NotManaged
from sslctl.model import Bundle, Certificate, Domain, Event, Order
from sslctl.reasons import Status
from sslctl.store import Query, Sort, rows
from sslctl.store.database import Database
from sslctl.store.keyring import Keyring
from sslctl.text import instant

CLOSED = "the order was closed by another sslctl meanwhile"

_ORDER_BY = {
    Sort.NAME: "domain.name",
    Sort.STATUS: f"{rows.STATUS_RANK}, domain.name",
    Sort.CREATED: "domain.created_at, domain.name",
    Sort.EXPIRES: f"{rows.EXPIRY} IS NULL, {rows.EXPIRY}, domain.name",
}


class Reading:
    """The reading half of `Store`."""

    _database: Database
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

    def domains(self, query: Query, now: datetime) -> list[Domain]:
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
        sql = f"{rows.SELECT_DOMAIN} WHERE {' AND '.join(where)} ORDER BY {_ORDER_BY[query.sort]}"
        if query.limit is not None:
            sql += " LIMIT :limit"
            values["limit"] = query.limit
        return self._database.read(rows.domain_of, sql, values)

    def candidates(self, now: datetime, horizon: timedelta) -> list[Domain]:
        sql = f"""{rows.SELECT_DOMAIN} WHERE domain.deleted_at IS NULL AND (
            domain.retry_at <= :now
            OR domain.finding_code IS NULL AND (
                domain.serving_id IS NULL OR domain.wanted_id IS NOT domain.serving_id
                OR serving.not_after <= :horizon OR serving.revoked_at IS NOT NULL
            )) ORDER BY {_ORDER_BY[Sort.EXPIRES]}"""
        values = {"now": instant(now), "horizon": instant(now + horizon)}
        return self._database.read(rows.domain_of, sql, values)

    def counts(self, now: datetime) -> dict[Status, int]:
        sql = f"SELECT {rows.STATUS} AS status, count(*) AS number {rows.FROM_DOMAIN}"
        sql += " WHERE domain.deleted_at IS NULL GROUP BY 1"
        return dict(self._database.read(rows.count_of, sql, {"now": instant(now)}))

    def certificates(self, domain: Domain) -> list[Certificate]:
        sql = f"{rows.SELECT_CERTIFICATE} WHERE domain_id = ? ORDER BY version DESC"
        return self._database.read(rows.certificate_of, sql, (domain.id,))

    def bundle(self, certificate: Certificate) -> Bundle:
        sql = "SELECT pem, chain_pem, sealed_key FROM certificate WHERE id = ?"
        return self._database.read(self._bundle_of, sql, (certificate.id,))[0]

    def _bundle_of(self, row: Row) -> Bundle:
        return Bundle(row["pem"], row["chain_pem"], self._keyring.open(row["sealed_key"]))

    def order(self, domain: Domain) -> Order | None:
        sql = "SELECT * FROM acme_order WHERE domain_id = ? AND closed_at IS NULL"
        found = self._database.read(rows.order_of, sql, (domain.id,))
        return found[0] if found else None

    def order_key(self, order: Order) -> str:
        sql = "SELECT sealed_key FROM acme_order WHERE id = ? AND closed_at IS NULL"
        found = self._database.read(lambda row: self._keyring.open(row["sealed_key"]), sql, (order.id,))
        expect(found != [], CLOSED)
        return found[0]

    def events(self, domain: Domain) -> list[Event]:
        sql = "SELECT * FROM event WHERE domain_id = ? ORDER BY id"
        return self._database.read(rows.event_of, sql, (domain.id,))


def expect(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - like `assert`
    """Raise `Busy`, saying `otherwise`, where somebody else was there before."""
    if not holds:
        raise Busy(otherwise, hint="look again, then try again")
