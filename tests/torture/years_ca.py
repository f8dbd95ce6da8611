"""The CA of the simulation of two years: Let's Encrypt's schedule of lifetimes, and the faults of a CA."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sslctl.issuer import Issued, IssueError
from sslctl.rules.model import Order
from sslctl.rules.reasons import Code
from tests.support.fakes import FakeIssuer

# https://letsencrypt.org/2025/12/02/from-90-to-45
_LIFETIMES = ((datetime(2028, 2, 16, tzinfo=UTC), 45), (datetime(2027, 2, 10, tzinfo=UTC), 64))
_FIRST_LIFETIME = 90


class FaultyCa(FakeIssuer):
    """A CA whose certificates live as long as those of Let's Encrypt on that day.

    `before_orders` return the error of each request, and `after_orders` that of each request about an order that was accepted;
    such an order can be collected later. `troubles` has the error of a name, which ends its order. `foreign_chain` is sent
    instead of its own chain; `ahead` is how far its clock is ahead.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        super().__init__(lambda: clock() + self.ahead)
        self.ahead = timedelta(0)
        self.before_orders: list[Callable[[], IssueError]] = []
        self.after_orders: list[Callable[[], IssueError]] = []
        self.troubles: dict[str, Callable[[], IssueError]] = {}
        self.foreign_chain = ""

    def issue(self, order: Order, on_url: Callable[[str], None], *, replaces: str = "") -> Issued:
        """See `Issuer.issue`."""
        self._raise_first(self.before_orders)
        self.lifetime = timedelta(days=_lifetime(self.clock()))
        for name in order.names:
            if name in self.troubles:
                error = self.troubles[name]()
                raise error
        if self.after_orders:
            if order.url is None:
                self.orders.append(order.names)
                on_url(self.new_url())
            self._raise_first(self.after_orders)
        return self._with_chain(super().issue(order, on_url, replaces=replaces))

    def collect(self, order: Order) -> Issued | None:
        """See `Issuer.collect`. An order that met an error is finished by then."""
        for faults in (self.before_orders, self.after_orders):
            self._raise_first(faults)
        if order.url is not None and order.url not in self.issued:
            self.issued[order.url] = Issued(self._sign(order), self.chain)
        issued = super().collect(order)
        return None if issued is None else self._with_chain(issued)

    def forget(self, order: Order) -> None:
        """See `Issuer.forget`."""
        # Two years of certificates need not stay in memory.
        if order.url is not None and not self.foreign_chain:
            self.issued.pop(order.url, None)

    def _with_chain(self, issued: Issued) -> Issued:
        return replace(issued, chain=self.foreign_chain) if self.foreign_chain else issued

    @staticmethod
    def _raise_first(faults: list[Callable[[], IssueError]]) -> None:
        if faults:
            error = faults[0]()
            raise error


def challenge_failed() -> IssueError:
    """Return the error of a challenge that failed."""
    return IssueError(Code.CHALLENGE_FAILED, "404 from the customer's server", order_dead=True)


def _lifetime(now: datetime) -> int:
    """Return the lifetime of what Let's Encrypt issues at `now`, in days."""
    return next((days for since, days in _LIFETIMES if now >= since), _FIRST_LIFETIME)
