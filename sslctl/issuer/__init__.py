"""The CA, as sslctl sees it: an `Issuer` turns a CSR into a certificate.

`issuer.certbot` is the only one that production uses; certbot itself runs in a child process (`issuer.child`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sslctl.rules.limits import Scope
from sslctl.rules.model import Bundle, Order
from sslctl.rules.reasons import Code


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its chain, PEM."""

    certificate: str
    chain: str


@dataclass(frozen=True, slots=True)
class RenewalWindow:
    """When the CA suggests to renew a certificate (ARI, RFC 9773, section 4.2): some time from `start_at` to `end_at`.

    Both are whole seconds, the end after the start. `explanation_url` is http or https, cleaned, or empty. At
    `retry_at` the CA wants to be asked again, None where it did not say.
    """

    start_at: datetime
    end_at: datetime
    explanation_url: str = ""
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RenewalWindows:
    """What the CA suggests, by ARI id: None where it has nothing sensible to say; who is missing was not asked about.

    `trouble` is what kept the CA from answering further (cleaned), and `retry_at` when it wants to be asked again.
    """

    by_id: Mapping[str, RenewalWindow | None]
    trouble: str = ""
    retry_at: datetime | None = None


class IssueError(Exception):
    """No certificate came of it: `code` says why, `found` what was seen (cleaned), `wanted` what would have done.

    `retry_at` is the CA's wish where it gave one. `pause` is what else the CA would refuse, until then or for a while;
    None where this concerns the one order. For `Kind.DUPLICATES` it has no key: the order's names are meant.
    `order_dead` says that nothing can come of the order any more; otherwise it must be collected before another one is
    placed.
    """

    def __init__(
        self,
        code: Code,
        found: str,
        *,
        wanted: str = "",
        retry_at: datetime | None = None,
        pause: Scope | None = None,
        order_dead: bool = False,
    ) -> None:
        super().__init__(found)
        self.code = code
        self.found = found
        self.wanted = wanted
        self.retry_at = retry_at
        self.pause = pause
        self.order_dead = order_dead


class OrderPending(Exception):
    """The CA still waits for the order's challenges: `Issuer.issue` goes on with it."""


class Issuer(Protocol):
    """Orders, collects and revokes certificates."""

    def issue(self, order: Order, on_url: Callable[[str], None], *, replaces: str = "") -> Issued:
        """Place the order, or go on with it where its URL is known, and see it through.

        `on_url` is called with the order's URL as soon as the CA has accepted the order, and returns before
        anything more is asked of the CA, so that the URL is stored first. `replaces` is the ARI id
        (`x509.renewal_id`) of the certificate whose place the new one takes; CAs without ARI do not hear of it.
        Raises `IssueError`.
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

    def renewal_infos(self, ids: Sequence[str], seconds: float) -> RenewalWindows | None:
        """Ask the CA when it suggests to renew the certificates with these ARI ids (`x509.renewal_id`).

        After about `seconds` no more are asked about. None where the CA has no ARI. Raises `IssueError` where it could
        not be asked at all.
        """

    def close(self) -> None:
        """Let go of what runs for this issuer."""
