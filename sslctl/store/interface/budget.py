"""The CA's budget: its rate limits, its pauses, and the circuit breaker."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from sslctl.rules.budget import BudgetHeld
from sslctl.rules.limits import LimitKind, Pause, Scope
from sslctl.rules.model import Domain


class Budget(Protocol):
    """What may be asked of a CA now. All processes that share the state share one budget for each CA.

    `ca` is the URL of the directory of the CA that is meant, empty for the first one.
    """

    @property
    def cas(self) -> tuple[str, ...]:
        """The URLs of the directories of the configured CAs, the first CA first."""

    # Limits

    def require_budget(self, domain: Domain, names: tuple[str, ...], *, ca: str = "") -> None:
        """Raise `BudgetHeld` if a limit or pause of the CA rules out an order of `domain` for `names` now.

        A renewal (`is_renewal`) is limited less. During a
        pause that would outlast the certificate in service, one order an hour goes ahead, the soonest expiry first.
        """

    def find_hold(self, domain: Domain, *, ca: str = "") -> BudgetHeld | None:
        """Return what would hold back an order of `domain` for its names now, None if nothing would; see `require_budget`.

        Nothing is changed or reserved. `domain` need not be stored.
        """

    def require_ca(self, domain: Domain, *, ca: str = "") -> None:
        """Raise `BudgetHeld` if a pause rules out requests about an open order of `domain` now.

        It does not if the certificate in service would expire before the pause ends, and it is the turn of `domain`.
        """

    def is_renewal(self, names: tuple[str, ...], *, ca: str = "") -> bool:
        """Return whether an order for exactly `names` is a renewal now: exempt from the limits of new orders.

        The CA issued a certificate for them on an order of ours, and its `not_before` is less than
        `Limits.renewable_for` ago.
        """

    def orders_left(self, now: datetime) -> int | None:
        """Return how many orders that are no renewals may be placed at `now` at the first CA; None if there is no limit."""

    def limits_left(self, now: datetime) -> dict[LimitKind, int]:
        """Return how much of the first CA's limits of many domains is left at `now`: of `ORDERS`, and of `CERTIFICATES` where least is left.

        Pauses do not count. A kind without a limit is left out.
        """

    def waiting_for_budget(self, now: datetime, number: int) -> list[Domain]:
        """Return the first `number` domains that the limit of new orders holds back beyond `now`."""

    def issued_by_others(self, since: datetime) -> dict[str, int]:
        """Return how many certificates each other CA than the first one issued on orders that were opened from `since` on."""

    # Pauses

    def pause(self, scope: Scope, until: datetime, why: str, *, ca: str = "") -> None:
        """Send the CA no request that `scope` covers before `until`, because of `why` (cleaned)."""

    def pauses(self, now: datetime, *, also_of_renewal_info: bool = False, ca: str = "") -> list[Pause]:
        """Return the pauses in force at `now` that hold back orders, the longest first."""

    def lift_pauses(self, scopes: Sequence[Scope]) -> None:
        """End the pauses of `scopes` at all CAs, and record who did. The domains that they held back are due at once."""

    def active_pause(self, now: datetime, *scopes: Scope, ca: str = "") -> Pause | None:
        """Return the longest pause in force at `now` that covers every request to the CA, or one of `scopes`.

        The CA itself asked for such a pause, or the circuit breaker is open.
        """

    # The circuit breaker

    def is_breaker_open(self, *, ca: str = "") -> bool:
        """Return whether the circuit breaker was tripped and the CA has not answered since."""

    def trip_breaker(self, why: str, kind: LimitKind = LimitKind.BREAKER, *, ca: str = "") -> None:
        """Open the circuit breaker unless it is open: for one minute first, then twice as long each time, at most one hour.

        `LimitKind.RENEWAL_INFO` has a breaker of its own.
        """

    def reset_breaker(self, kind: LimitKind = LimitKind.BREAKER, *, ca: str = "") -> None:
        """Close the circuit breaker: the CA answered."""
