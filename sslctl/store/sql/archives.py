"""Old history that goes into archives; see `sslctl.store.interface.archives`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from sslctl.rules.history_seal import Seal
from sslctl.store.interface.archives import OrderPlace
from sslctl.store.sql import rows
from sslctl.store.sql.connection import Row, expect
from sslctl.store.sql.history import SqlHistory, first_after
from sslctl.text import instant

# A certificate fills a page, and most are young or needed: the index finds those that have expired.
_EXPIRED = "SELECT id FROM certificate {hint} WHERE id > ? AND not_after <= ? ORDER BY id LIMIT ?"
_UNNEEDED = """SELECT old.id FROM certificate AS old JOIN domain ON domain.id = old.domain_id
    WHERE old.id IN (SELECT value FROM {ids}) AND coalesce(old.replaced_at, '') <= :until
    AND old.id IS DISTINCT FROM domain.wanted_id AND old.id IS DISTINCT FROM domain.serving_id
    AND EXISTS (SELECT 1 FROM certificate AS newer WHERE newer.domain_id = old.domain_id
      AND newer.version > old.version AND newer.issued_at <= :until)
    AND (old.verified_at IS NULL OR EXISTS (SELECT 1 FROM certificate AS newer WHERE newer.domain_id = old.domain_id
      AND newer.version > old.version AND newer.verified_at IS NOT NULL))
    AND NOT EXISTS (SELECT 1 FROM archived_certificate WHERE archived_certificate.id = old.id)
    ORDER BY old.id"""
# The newest one stays: its id must not be given again.
_IS_OLD = """closed_at <= :until AND id < (SELECT max(id) FROM acme_order)
    AND NOT EXISTS (SELECT 1 FROM archived_order WHERE archived_order.id = acme_order.id)"""
_COUNT_ORDERS = f"SELECT count(*) FROM acme_order {{hint}} WHERE opened_at <= :until AND {_IS_OLD}"  # noqa: S608 - constants
# How many of them are old is not in the condition: PostgreSQL takes that for few, and would read and sort all of them.
_NEXT_ORDERS = f"""SELECT id, opened_at, {_IS_OLD} AS is_old FROM acme_order {{hint}}
    WHERE opened_at >= :at AND opened_at <= :until AND (opened_at, id) > (:at, :after) ORDER BY opened_at, id LIMIT :limit"""  # noqa: S608 - constants
_CERTIFICATE = (
    "id", "domain_id", "version", "source", "names", "fingerprint", "serial", "issuer", "key_type", "not_before",
    "not_after", "pem", "chain_pem", "digest", "issued_at", "uploading_at", "uploaded_at", "verified_at", "replaced_at", "revoked_at",
    "key_destroyed_at", "ca",
)  # fmt: skip
_ORDER = (
    "id", "domain_id", "names", "opened_at", "url", "closed_at", "outcome", "ca", "is_renewal", "profile",
    "preferred_chain",
)  # fmt: skip
_YOUNG = """SELECT count(*), min(CASE WHEN at > :until AND at <= :now THEN id END) FROM event
    WHERE id > :after AND id <= :last"""


class SqlArchives(SqlHistory):
    """The store's `Archives`."""

    # What is old

    def find_young_event(self, after: int, last: int, until: datetime) -> tuple[int, int | None]:
        values = {"after": after, "last": last, "until": instant(until), "now": instant(self._clock())}
        ((count, young),) = self._database.read(tuple, _YOUNG, values)
        if young is None:
            return count, None
        ((count, _),) = self._database.read(tuple, _YOUNG, {**values, "last": young - 1})
        return count, young

    def old_certificates(self, until: datetime, after: int, limit: int) -> tuple[Sequence[int], int | None]:
        dialect = self._database.dialect
        expired_sql = _EXPIRED.format(hint=dialect.index_hint("certificate_facts"))
        expired = self._database.read(_id_of, expired_sql, (after, instant(until), limit))
        if not expired:
            return [], None
        sql = _UNNEEDED.format(ids=dialect.integers(":ids"))
        found = self._database.read(_id_of, sql, {"ids": json.dumps(expired), "until": instant(until)})
        return found, expired[-1]

    def old_orders(
        self, until: datetime, after: OrderPlace, limit: int
    ) -> tuple[Sequence[int], OrderPlace | None]:
        at, identity = after
        values = {"until": instant(until), "at": at, "after": identity, "limit": limit}
        found = self._database.read(tuple, self._by_day(_NEXT_ORDERS), values)
        ids = [int(identity) for identity, _, is_old in found if is_old]
        return ids, (found[-1][1], int(found[-1][0])) if found else None

    def count_old_orders(self, until: datetime) -> int:
        return self._database.read(_id_of, self._by_day(_COUNT_ORDERS), {"until": instant(until)})[0]

    def _by_day(self, sql: str) -> str:
        return sql.format(hint=self._database.dialect.index_hint("acme_order_by_day"))

    def certificates_to_archive(self, ids: Sequence[int]) -> list[dict[str, object]]:
        def read(row: Row) -> dict[str, object]:
            rows.require_unchanged(row)
            return _named(_CERTIFICATE, row)

        return self._database.read(read, self._select("certificate", _CERTIFICATE), (json.dumps(ids),))

    def orders_to_archive(self, ids: Sequence[int]) -> list[dict[str, object]]:
        sql = self._select("acme_order", _ORDER)
        return self._database.read(lambda row: _named(_ORDER, row), sql, (json.dumps(ids),))

    def _select(self, table: str, columns: Sequence[str]) -> str:
        listed = ", ".join(f"{table}.{column}" for column in columns)
        return f"""SELECT {listed}, domain.name AS domain FROM {table} JOIN domain ON domain.id = {table}.domain_id
            WHERE {table}.id IN (SELECT value FROM {self._database.dialect.integers("?")}) ORDER BY {table}.id"""  # noqa: S608 - constants

    # The seal

    def seal_history(self, seal: Seal, certificates: Sequence[int], orders: Sequence[int]) -> None:
        with self._database.transaction() as run:
            number, cut = run(
                "SELECT coalesce(max(number), 0) + 1, coalesce(max(cut), 0) FROM history_seal"
            ).fetchone()
            expect((number, cut) == (seal.number, seal.after), "another process archived history meanwhile")
            run(
                "INSERT INTO history_seal (number, cut, until, sealed) VALUES (?, ?, ?, ?)",
                (seal.number, seal.cut, seal.until, self._encrypt(seal.to_json())),
            )
            for table, ids in (("archived_certificate", certificates), ("archived_order", orders)):
                listed = self._database.dialect.integers("?")
                run(f"INSERT INTO {table} (id) SELECT value FROM {listed}", (json.dumps(ids),))  # noqa: S608 - constants
            self._append_general_event("history archived", seal.describe())

    # The deletion

    def delete_archived_events(self, after: int, limit: int) -> int | None:
        cut = self.history_cut()
        if cut is None:
            return None
        # PostgreSQL passes over what was deleted before, until a vacuum; so each search begins where the last one ended.
        first = first_after(after)
        block = "SELECT id FROM event WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?"
        with self._database.transaction() as run:
            (last,) = run(f"SELECT max(id) FROM ({block}) AS block", (first, cut.id, limit)).fetchone()  # noqa: S608 - a constant
            if last is not None:
                run("DELETE FROM event WHERE id BETWEEN ? AND ?", (first, last))
            return None if last is None else int(last)

    def delete_archived_orders(self, limit: int) -> int:
        ids = self._database.read(_id_of, "SELECT id FROM archived_order ORDER BY id LIMIT ?", (limit,))
        listed = self._listed
        if ids:
            with self._database.transaction() as run:
                for table, column in (
                    ("acme_order_name", "order_id"),
                    ("acme_order", "id"),
                    ("archived_order", "id"),
                ):
                    run(f"DELETE FROM {table} WHERE {column} IN {listed}", (json.dumps(ids),))  # noqa: S608 - constants
        return len(ids)

    def archived_certificates(self, after: int, limit: int) -> list[tuple[int, str]]:
        sql = """SELECT archived_certificate.id, domain.name FROM archived_certificate
            JOIN certificate ON certificate.id = archived_certificate.id
            JOIN domain ON domain.id = certificate.domain_id
            WHERE archived_certificate.id > ? ORDER BY archived_certificate.id LIMIT ?"""
        return self._database.read(lambda row: (int(row[0]), str(row[1])), sql, (after, limit))

    def delete_archived_certificates(self, ids: Sequence[int]) -> int:
        listed = self._listed
        used = "SELECT 1 FROM domain WHERE domain.wanted_id = certificate.id"
        served = "SELECT 1 FROM domain WHERE domain.serving_id = certificate.id"
        free = f"SELECT id FROM certificate WHERE id IN {listed} AND NOT EXISTS ({used}) AND NOT EXISTS ({served})"  # noqa: S608 - constants
        with self._database.transaction() as run:
            found = json.dumps([int(row[0]) for row in run(free, (json.dumps(ids),)).fetchall()])
            run(f"DELETE FROM revocation WHERE certificate_id IN {listed}", (found,))  # noqa: S608 - constants
            deleted = run(f"DELETE FROM certificate WHERE id IN {listed}", (found,)).rowcount  # noqa: S608 - constants
            run(f"DELETE FROM archived_certificate WHERE id IN {listed}", (json.dumps(ids),))  # noqa: S608 - constants
            return deleted

    @property
    def _listed(self) -> str:
        """The elements of a JSON array of ids, in parentheses."""
        return f"(SELECT value FROM {self._database.dialect.integers('?')})"  # noqa: S608 - constants


def _id_of(row: Row) -> int:
    return int(row[0])


def _named(columns: Sequence[str], row: Row) -> dict[str, object]:
    """Return the values of `row` by column; a column with a JSON array as that array."""
    values = {column: row[column] for column in columns}
    return {"domain": row["domain"], **values, "names": json.loads(str(values["names"]))}
