"""The rules of the CA's budget."""

from __future__ import annotations

from datetime import datetime

from sslctl.rules.limits import Scope


class BudgetHeld(Exception):
    """An order must not be placed now: a limit of the CA is used up, or a pause is in force.

    `scope` is what the limit or the pause covers, `found` describes it. `until` is its end, or if several domains wait
    for the same limit, the turn of this order.
    """

    def __init__(self, scope: Scope, found: str, until: datetime) -> None:
        super().__init__(found)
        self.scope = scope
        self.found = found
        self.until = until
