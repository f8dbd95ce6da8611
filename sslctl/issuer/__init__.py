"""The Protocol of a CA client: an `Issuer` turns a CSR into a certificate.

`certbot.issuer.CertbotIssuer` implements it with certbot. To add another CA client, write a class with the methods of
`Issuer`:

1. Call `on_url` as soon as the CA has accepted an order, and go on only after it returned: the order's URL must be stored
   before anything else happens to the order.
2. If `Order.url` is set, go on with that order; never place a second one for it.
3. Survive a kill at any point: `collect` must find the certificate of an order that an earlier process placed.
4. Turn every failure into an `IssueError` with a reason code, and clean its texts (`text.clean`). Set `order_dead` only if
   nothing can come of the order: otherwise the order is collected before another one is placed.
5. Use the key and the CSR of the order; never make a key.
6. Bound each call in time, and be safe for use by many threads.

`by_ca.IssuersByCa` is an `Issuer` over several CAs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sslctl.rules.account_key import AccountKey
from sslctl.rules.limits import CA_WIDE, Scope
from sslctl.rules.model import Bundle, Order
from sslctl.rules.reasons import Code
from sslctl.rules.revocation import RevocationReason


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its chain, PEM."""

    certificate: str
    chain: str


@dataclass(frozen=True, slots=True)
class RenewalWindow:
    """The window in which the CA suggests to renew a certificate (ARI, RFC 9773, section 4.2).

    `start_at` and `end_at` are aware, in whole seconds, the end after the start. `explanation_url` is http or https, or
    empty. `retry_at` is from `Retry-After`, None if there was none.
    """

    start_at: datetime
    end_at: datetime
    explanation_url: str = ""
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RenewalWindows:
    """The renewal windows by ARI id. None means that the CA has no usable window.

    `trouble` is the temporary error that ended the queries (cleaned), empty if there was none; `retry_at` is its
    `Retry-After`. `unanswered` has the ids whose query met it. Ids that are in neither were not queried.
    """

    by_id: Mapping[str, RenewalWindow | None]
    trouble: str = ""
    retry_at: datetime | None = None
    unanswered: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class AccountKeys:
    """The key of our account, and the previous one if the account at some CA may still have it."""

    current: AccountKey
    previous: AccountKey | None = None


class IssueError(Exception):
    """A request to the CA failed.

    `code` is the reason, `found` what was observed and `wanted` what is needed instead (both cleaned). `retry_at` is the
    time that the CA named, None if it named none. `pause` is the scope that the CA would refuse too, until `retry_at` or
    for a while; None if only this order is affected. For `LimitKind.DUPLICATES` it has no key: it means the order's names.
    `order_dead` means that nothing can come of the order; otherwise it must be collected before another one is placed.
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

    def about_order(self, *, dead: bool) -> IssueError:
        """Return the same error about another order, of which nothing can come if it is `dead`."""
        return IssueError(
            self.code,
            self.found,
            wanted=self.wanted,
            retry_at=self.retry_at,
            pause=self.pause,
            order_dead=dead,
        )

    @property
    def is_of_ca(self) -> bool:
        """Whether the reason is the CA's own, and none of the domain or of this machine: another CA may issue."""
        pauses_all = self.pause is not None and self.pause.kind in CA_WIDE
        return pauses_all or self.code in (Code.CA_UNAVAILABLE, Code.CA_REFUSED, Code.NAME_REFUSED)


class OrderPending(Exception):
    """The order's challenges are not answered yet: `Issuer.issue` goes on with the order."""


class Issuer(Protocol):
    """A client of a CA that orders, collects and revokes certificates."""

    def expect_orders(self) -> None:
        """Begin to prepare what every order needs, because one is likely. Return at once, and ask the CA nothing.

        What goes wrong is reported by the order.
        """

    def issue(self, order: Order, on_url: Callable[[str], None], *, replaces: str = "") -> Issued:
        """Place the order, or go on with it if it has a URL, and return the certificate. Raise `IssueError`.

        Call `on_url` with the order's URL when the CA has accepted the order; send the next request after it returned, so
        that the URL is stored first. `replaces` is the ARI id (`x509.renewal_id`) of the certificate that the new one
        replaces; it is sent only to CAs with ARI.
        """

    def collect(self, order: Order) -> Issued | None:
        """Return the certificate of an order that was placed earlier: from disk after a crash, or from the order's URL.

        Return None if the order failed and can be closed. Raise `OrderPending` if its challenges are not answered yet, and
        `IssueError` if the CA did not respond or has not decided.
        """

    def may_be_issued(self, order: Order) -> bool:
        """Return whether the CA may have issued the certificate of `order`: it was asked to, or that is not known here."""

    def forget(self, order: Order) -> None:
        """Remove the files of an order: it is closed, or its certificate on disk cannot be used.

        In the second case, `collect` asks the CA for the certificate.
        """

    def revoke(self, bundle: Bundle, reason: RevocationReason | None = None) -> None:
        """Revoke a certificate at its CA, for `reason` (none: unspecified); a revoked one is no error. Raise `IssueError`.

        For `KEY_COMPROMISE` the request is signed with the certificate's own key, if `bundle` has it: it proves that the key
        is not secret any more, and the CA refuses it from then on (RFC 8555, section 7.6).
        """

    def renewal_infos(self, ids: Sequence[str], seconds: float) -> RenewalWindows | None:
        """Return the renewal windows of the certificates with these ARI ids (`x509.renewal_id`); None if the CA has no ARI.

        Start no further query after about `seconds`. Raise `IssueError` if the CA could not be reached at all.
        """

    def register(self, *, only_known: bool = False) -> None:
        """Register our account at the CA, or complete a change of its key; do nothing if neither is needed. Raise `IssueError`.

        With `only_known` nothing is done either if this machine has no account at the CA.
        """

    def published(self, token: str) -> AbstractContextManager[str]:
        """Return a context manager that yields what is answered to a challenge `token` while it lasts, for a probe of ours.

        Entering raises `IssueError` if a challenge could not be answered either. What a killed process leaves is removed as the
        files of challenges are.
        """

    def close(self) -> None:
        """End the processes and threads of this issuer."""
