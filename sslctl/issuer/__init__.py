"""The CA, as sslctl sees it: an `Issuer` turns a CSR into a certificate.

`issuer.certbot` is the only one that production uses; certbot itself runs in a child process (`issuer.child`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sslctl.model import Bundle, Order
from sslctl.reasons import Code


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its chain, PEM."""

    certificate: str
    chain: str


class IssueError(Exception):
    """No certificate came of it: `code` says why, `found` what was seen (cleaned), `wanted` what would have done.

    `retry_at` is the CA's wish where it gave one. `order_dead` says that nothing can come of the order any more;
    otherwise it must be collected before another one is placed.
    """

    def __init__(
        self,
        code: Code,
        found: str,
        *,
        wanted: str = "",
        retry_at: datetime | None = None,
        order_dead: bool = False,
    ) -> None:
        super().__init__(found)
        self.code = code
        self.found = found
        self.wanted = wanted
        self.retry_at = retry_at
        self.order_dead = order_dead


class OrderPending(Exception):
    """The CA still waits for the order's challenges: `Issuer.issue` goes on with it."""


class Issuer(Protocol):
    """Orders, collects and revokes certificates."""

    def issue(self, order: Order, on_url: Callable[[str], None]) -> Issued:
        """Place the order, or go on with it where its URL is known, and see it through.

        `on_url` is called with the order's URL as soon as the CA has accepted the order, and returns before
        anything more is asked of the CA, so that the URL is stored first. Raises `IssueError`.
        """

    def collect(self, order: Order) -> Issued | None:
        """Give the certificate of an order placed earlier: left on disk by a crash, or fetched from its URL.

        None when the order came to nothing and may be let go. Raises `OrderPending`, and `IssueError` where the CA
        could not be asked or has not decided.
        """

    def forget(self, order: Order) -> None:
        """Remove what a settled order left on disk."""

    def revoke(self, bundle: Bundle) -> None:
        """Revoke a certificate at the CA; one revoked already is fine. Raises `IssueError`."""
