"""Orders at the CA. At most one is open for a domain, and it holds the key until its certificate is stored."""

from __future__ import annotations

from typing import Protocol

from sslctl.rules.model import Domain, Order


class Orders(Protocol):
    """The open orders, written ahead: each step is committed before the CA's next answer depends on it."""

    def open_order(
        self, domain: Domain, names: tuple[str, ...], key_pem: str, csr_pem: str, *, ca: str = ""
    ) -> Order:
        """Store key and CSR of an order at the CA `ca`, before anything is sent to the CA.

        The profile and the chain that were chosen for the domain are those of the first CA. Raise `Busy` if another order of the domain is open, and `BudgetHeld` as `require_budget` does.
        """

    def find_open_order(self, domain: Domain) -> Order | None:
        """Return the open order of `domain`, or None."""

    def order_key(self, order: Order) -> str:
        """Return the private key of an open order, PEM. Raise `Busy` if the order was closed in the meantime."""

    def record_order_url(self, order: Order, url: str) -> Order:
        """Store the URL of the order at the CA."""

    def close_order(self, order: Order, outcome: str) -> None:
        """Close an order that led to no certificate, and delete its key."""
