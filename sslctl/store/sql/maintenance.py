"""Milestones: when something that concerns the whole state was last done."""

from __future__ import annotations

from sslctl.rules.model import Mark, Milestone
from sslctl.store.sql import rows
from sslctl.store.sql.part import SqlPart
from sslctl.text import instant

_REPLACE = """INSERT INTO milestone (name, at, actor, detail, seconds) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET at = excluded.at, actor = excluded.actor, detail = excluded.detail,
    seconds = excluded.seconds"""


class SqlMilestones(SqlPart):
    """The part of the store's `Maintenance` that is common to all databases."""

    def record_milestone(self, milestone: Milestone, detail: str, seconds: float | None = None) -> None:
        with self._database.transaction() as run:
            run(_REPLACE, (milestone, instant(self._clock()), self._actor, detail, seconds))

    def milestones(self) -> dict[Milestone, Mark]:
        return dict(self._database.read(rows.mark_of, "SELECT * FROM milestone"))
