"""The pause of all orders and of all changes on C4, which an operator sets for maintenance."""

from __future__ import annotations

from datetime import datetime

from sslctl.rules.maintenance_pause import is_in_force
from sslctl.rules.model import MaintenancePause
from sslctl.store.sql.connection import Row
from sslctl.store.sql.history import SqlHistory
from sslctl.store.sql.values import text_of, time_of
from sslctl.text import instant

_REPLACE = """INSERT INTO maintenance_pause (only_row, at, until, reason, actor) VALUES (1, ?, ?, ?, ?)
    ON CONFLICT (only_row) DO UPDATE SET at = excluded.at, until = excluded.until, reason = excluded.reason,
    actor = excluded.actor"""


class SqlMaintenancePauses(SqlHistory):
    """The store's `MaintenancePauses`."""

    def maintenance_pause(self, now: datetime) -> MaintenancePause | None:
        found = self._database.read(_pause_of, "SELECT * FROM maintenance_pause")
        return found[0] if found and is_in_force(found[0], now) else None

    def set_maintenance_pause(self, until: datetime, reason: str, consequence: str = "") -> MaintenancePause:
        pause = MaintenancePause(self._clock(), until, reason, self._actor)
        with self._database.transaction() as run:
            before = self.maintenance_pause(pause.at)
            run(_REPLACE, (instant(pause.at), instant(until), reason, self._actor))
            replaced = "" if before is None else f"; it replaces the pause {_describe(before)}"
            accepted = f"; {consequence}" if consequence else ""
            self._append_general_event("paused", f"{_describe(pause)}{accepted}{replaced}")
        return pause

    def end_maintenance_pause(self) -> MaintenancePause | None:
        with self._database.transaction() as run:
            pause = self.maintenance_pause(self._clock())
            # One that is not in force must not come into force by a change of the clock.
            run("DELETE FROM maintenance_pause", ())
            if pause is not None:
                self._append_general_event("resumed", f"before the end of the pause {_describe(pause)}")
        return pause


def _describe(pause: MaintenancePause) -> str:
    return f"until {instant(pause.until)}: {pause.reason}"


def _pause_of(row: Row) -> MaintenancePause:
    return MaintenancePause(
        time_of(row["at"]), time_of(row["until"]), text_of(row["reason"]), text_of(row["actor"])
    )
