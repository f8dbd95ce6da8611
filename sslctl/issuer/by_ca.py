"""A client of several CAs: each request goes to the CA of its order, or of its certificate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

from sslctl.issuer import Issued, IssueError, Issuer, RenewalWindows
from sslctl.rules.model import Bundle, Order
from sslctl.rules.reasons import Code
from sslctl.rules.revocation import RevocationReason
from sslctl.text import clean


class IssuersByCa:
    """The issuers of all configured CAs, by the URL of the CA's directory. The first one is for what has no CA recorded."""

    def __init__(self, issuers: Mapping[str, Issuer]) -> None:
        self._issuers = issuers
        self._first = next(iter(issuers.values()))

    def expect_orders(self) -> None:
        """See `Issuer.expect_orders`. Orders go to the first CA, unless it is down."""
        self._first.expect_orders()

    def issue(self, order: Order, on_url: Callable[[str], None], *, replaces: str = "") -> Issued:
        """See `Issuer.issue`."""
        return self._require(order.ca).issue(order, on_url, replaces=replaces)

    def collect(self, order: Order) -> Issued | None:
        """See `Issuer.collect`. Nothing can come of an order of a CA that is not configured any more."""
        issuer = self._find(order.ca)
        return None if issuer is None else issuer.collect(order)

    def may_be_issued(self, order: Order) -> bool:
        """See `Issuer.may_be_issued`."""
        return (self._find(order.ca) or self._first).may_be_issued(order)

    def forget(self, order: Order) -> None:
        """See `Issuer.forget`."""
        (self._find(order.ca) or self._first).forget(order)

    def revoke(self, bundle: Bundle, reason: RevocationReason | None = None) -> None:
        """See `Issuer.revoke`."""
        self._require(bundle.ca).revoke(bundle, reason)

    def renewal_infos(self, ids: Sequence[str], seconds: float) -> RenewalWindows | None:
        """See `Issuer.renewal_infos`. An id does not tell its CA: the first one is asked."""
        return self._first.renewal_infos(ids, seconds)

    def register(self, *, only_known: bool = False) -> None:
        """See `Issuer.register`. Of the fallback CAs only those are asked that know us: they may never be needed."""
        errors = []
        for issuer in self._issuers.values():
            try:
                issuer.register(only_known=only_known or issuer is not self._first)
            except IssueError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def published(self, token: str) -> AbstractContextManager[str]:
        """See `Issuer.published`. All CAs read challenges at the same place."""
        return self._first.published(token)

    def close(self) -> None:
        """See `Issuer.close`."""
        for issuer in self._issuers.values():
            issuer.close()

    def _find(self, ca: str) -> Issuer | None:
        return self._issuers.get(ca) if ca else self._first

    def _require(self, ca: str) -> Issuer:
        """Return the issuer of `ca`. Raise `IssueError` if it is not configured."""
        issuer = self._find(ca)
        if issuer is None:
            raise IssueError(
                Code.ISSUER_FAILED,
                f"the CA {clean(ca)} is not configured any more; [[acme.fallback]] with its directory_url makes it usable",
            )
        return issuer
