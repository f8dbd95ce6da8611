"""Orders at the CA: written ahead, and counted against its limits."""

from __future__ import annotations

from datetime import datetime

from sslctl.errors import Busy
from sslctl.rules.limits import set_key
from sslctl.rules.model import Domain, Order
from sslctl.store.interface.metrics import Counted
from sslctl.store.sql import rows
from sslctl.store.sql.budget import SqlBudget
from sslctl.store.sql.connection import Run, Serial, expect
from sslctl.store.sql.domains import SqlDomains
from sslctl.store.sql.metrics import count_outcome
from sslctl.store.sql.values import names_text
from sslctl.text import instant

_CLOSED = "the order was closed by another sslctl meanwhile"
_INSERT = """INSERT INTO acme_order (domain_id, names, csr_pem, sealed_key, opened_at, ca, name_set, is_renewal,
    profile, preferred_chain) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id"""
_INSERT_PAST = """INSERT INTO acme_order (domain_id, names, csr_pem, opened_at, closed_at, outcome, ca, name_set, is_renewal)
    VALUES (:domain, :names, '', :at, :at, 'issued', :ca, :set, :is_renewal) RETURNING id"""


class SqlOrders(SqlBudget, SqlDomains):
    """The store's `Orders`."""

    def open_order(
        self, domain: Domain, names: tuple[str, ...], key_pem: str, csr_pem: str, *, ca: str = ""
    ) -> Order:
        with self._database.transaction() as run:
            self._database.serialise(Serial.BUDGET)
            self._require_revision(run, domain)
            if self.find_open_order(domain) is not None:
                raise Busy(f"an order for {domain.name} is open already")
            is_renewal, at = self._spend_budget(domain, names, ca), instant(self._clock())
            is_first_ca = not ca or ca == self._ca
            token = self._encrypt(key_pem)
            values = (
                domain.id,
                names_text(names),
                csr_pem,
                token,
                at,
                ca or self._ca,
                set_key(names),
                int(is_renewal),
                # Both are names of the first CA.
                (is_first_ca and domain.choice.profile) or None,
                (is_first_ca and domain.choice.preferred_chain) or None,
            )
            identity = run(_INSERT, values).fetchone()["id"]
            self._count_order(run, identity, names, at, is_renewal=is_renewal)
            order = self.find_open_order(domain)
        assert order is not None  # noqa: S101 - just inserted
        return order

    def find_open_order(self, domain: Domain) -> Order | None:
        sql = "SELECT * FROM acme_order WHERE domain_id = ? AND closed_at IS NULL"
        found = self._database.read(rows.order_of, sql, (domain.id,))
        return found[0] if found else None

    def order_key(self, order: Order) -> str:
        sql = "SELECT sealed_key FROM acme_order WHERE id = ? AND closed_at IS NULL"
        found = self._database.read(lambda row: self._keyring.decrypt(row["sealed_key"]), sql, (order.id,))
        expect(found != [], _CLOSED)
        return found[0]

    def record_order_url(self, order: Order, url: str) -> Order:
        with self._database.transaction() as run:
            recorded = run(
                "UPDATE acme_order SET url = ? WHERE id = ? AND closed_at IS NULL", (url, order.id)
            )
            expect(recorded.rowcount == 1, _CLOSED)
            self._append_event(order.domain_id, "ordered", url)
            return rows.order_of(run("SELECT * FROM acme_order WHERE id = ?", (order.id,)).fetchone())

    def close_order(self, order: Order, outcome: str) -> None:
        with self._database.transaction() as run:
            closed = run(
                "UPDATE acme_order SET closed_at = ?, outcome = ?, sealed_key = NULL"
                " WHERE id = ? AND closed_at IS NULL",
                (instant(self._clock()), outcome, order.id),
            )
            expect(closed.rowcount == 1, _CLOSED)
            count_outcome(self._database, Counted.ORDERS, outcome)

    def _record_past_order(
        self, run: Run, domain: Domain, names: tuple[str, ...], ca: str, at: datetime
    ) -> None:
        """Record the order of another program, `at` which the CA with the directory URL `ca` issued a certificate for `names`.

        The limits of the account do not count it, because it may be of another account.
        """
        is_renewal = self._is_renewal_at(names, ca, at)
        values = {
            "domain": domain.id,
            "names": names_text(names),
            "at": instant(at),
            "ca": ca,
            "set": set_key(names),
            "is_renewal": int(is_renewal),
        }
        identity = run(_INSERT_PAST, values).fetchone()["id"]
        self._count_order(run, identity, names, instant(at), is_renewal=is_renewal)
