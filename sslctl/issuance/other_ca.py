"""The choice of another CA for an order that its CA does not take or finish, and what becomes of the order it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sslctl.preflight import PreflightError, Prober
from sslctl.rules.budget import expires_before
from sslctl.rules.ca_name import ca_name
from sslctl.rules.model import Domain, Order
from sslctl.rules.pass_result import UNANSWERED, Problem
from sslctl.rules.reasons import Code
from sslctl.store.interface.budget import Budget

# For how long an order is kept whose certificate may have been issued, if nothing else is served for its domain, or not for long.
_PATIENCE = timedelta(hours=1)
_NOT_FOR_LONG = timedelta(days=1)
# When a CA is asked again that named no time, or whose CAA was not answered.
_SOON = timedelta(minutes=10)
_NEVER = datetime.max.replace(tzinfo=UTC)
# The first CA is not asked before the time that came with these, whenever the next pass is: a pause or a limit that is stored says so.
_HELD = (Code.BUDGET_HELD, Code.CA_RATE_LIMITED)


class OtherCas:
    """The CAs that may take an order of `domain`, in the order in which they are used; those that failed are not used again.

    A fallback CA is left out if its budget holds the order back, or unless CAA allows it: an answer of DNS is needed for that.
    `cname_target` is that of C4's record. `why` is what the last one that failed answered; `replaced` is that one.
    """

    def __init__(
        self, store: Budget, prober: Prober, domain: Domain, cname_target: str, clock: Callable[[], datetime]
    ) -> None:
        self._clock = clock
        self._store = store
        self._prober = prober
        self._domain = domain
        self._cname_target = cname_target
        self._failed: set[str] = set()
        self._notes: list[str] = []
        self._again_at: list[datetime] = []
        self.replaced = ""
        self.why = ""

    def first(self) -> str:
        """Return the CA to begin with: the first one, unless it failed already and another one is usable."""
        first = self._store.cas[0]
        return first if first not in self._failed else self._next() or first

    def find(self, failed: str, why: str) -> str | None:
        """Return the next CA that may take an order that the CA `failed` did not, because of `why`; None if there is none."""
        self.replaced, self.why = failed or self._store.cas[0], why
        self._failed.add(self.replaced)
        return self._next()

    def _next(self) -> str | None:
        for ca in self._store.cas:
            if ca not in self._failed:
                if self._is_usable(ca):
                    return ca
                self._failed.add(ca)
        return None

    def note(self, ca: str, why: str, again_at: datetime | None) -> None:
        """Note why `ca` issued nothing, and when it may; None if it named no time."""
        self._notes.append(f"not from {ca_name(ca)} either: {why}")
        self._again_at.append(again_at or self._clock() + _SOON)

    def extend(self, problem: Problem) -> Problem:
        """Return the `problem` of the first CA that was asked, with what was noted of the others.

        If it is asked again only after a long time, the next pass is as soon as one of the others may issue.
        """
        found, retry_after = "; ".join((problem.found, *self._notes)), problem.retry_after
        if retry_after is not None and problem.code in _HELD:
            retry_after = min((retry_after, *self._again_at))
        return replace(problem, found=found, retry_after=retry_after)

    def _is_usable(self, ca: str) -> bool:
        held = self._store.find_hold(self._domain, ca=ca)
        if held is not None:
            self.note(ca, held.found, held.until)
            return False
        try:
            self._prober.check_caa(self._domain.names, self._cname_target, ca)
        except PreflightError as error:
            # A CA that CAA rules out is none that may issue soon.
            self.note(ca, error.found, None if error.code in UNANSWERED else _NEVER)
            return False
        return True


def may_leave(domain: Domain, order: Order, now: datetime, *, may_be_issued: bool) -> bool:
    """Return whether another CA may be asked in place of that of the open `order`, which gives no answer or refuses to go on.

    If the certificate may have been issued, a second one would be one too many: so the CA has an hour to return it, and as long as
    what is served is good for more than a day.
    """
    if not may_be_issued:
        return True
    is_served = domain.in_service is not None and not expires_before(domain, now + _NOT_FOR_LONG)
    return not is_served and now - order.opened_at >= _PATIENCE
