"""The pause of all orders and of all changes on C4, which an operator sets for maintenance."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from sslctl.rules.model import MaintenancePause


class MaintenancePauses(Protocol):
    """The maintenance pause. All processes that share the state share it; there is at most one."""

    def maintenance_pause(self, now: datetime) -> MaintenancePause | None:
        """Return the maintenance pause in force at `now`, None if there is none. It ends by itself.

        One that was set more than a day after `now` is not in force: the clock was ahead then.
        """

    def set_maintenance_pause(self, until: datetime, reason: str, consequence: str = "") -> MaintenancePause:
        """Set a maintenance pause from now until `until`, in place of an earlier one, and return it.

        `reason` is cleaned text. An event records who set it, with `consequence`, which is empty or says what was accepted.
        """

    def end_maintenance_pause(self) -> MaintenancePause | None:
        """End the maintenance pause in force and return it, with an event that records who did; None if there was none."""
