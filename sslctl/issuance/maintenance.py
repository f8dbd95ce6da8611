"""Order nothing, and change nothing on C4, while an operator has paused that for maintenance."""

from __future__ import annotations

from datetime import datetime

from sslctl.issuance.pass_ended import PassEnded
from sslctl.rules.maintenance_pause import describe
from sslctl.rules.pass_result import Step
from sslctl.rules.reasons import Code
from sslctl.store.interface.maintenance_pauses import MaintenancePauses


def require_no_pause(store: MaintenancePauses, now: datetime, step: Step) -> None:
    """Raise `PassEnded` at `step` while a maintenance pause lasts; call it before each order and each change on C4."""
    pause = store.maintenance_pause(now)
    if pause is not None:
        raise PassEnded(Code.MAINTENANCE, describe(pause), step=step)
