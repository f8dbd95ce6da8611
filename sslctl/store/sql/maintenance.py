"""Milestones: when something that concerns the whole state was last done; and the search for damage that goes on from one."""

from __future__ import annotations

import time
from abc import abstractmethod

from sslctl.rules.model import Mark, Milestone
from sslctl.store.sql import rows
from sslctl.store.sql.part import SqlPart
from sslctl.text import instant

_REPLACE = """INSERT INTO milestone (name, at, actor, detail, seconds) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET at = excluded.at, actor = excluded.actor, detail = excluded.detail,
    seconds = excluded.seconds"""
# The place of the search for damage is recorded after so many seconds.
_CHECK_SECONDS = 0.2


class SqlMilestones(SqlPart):
    """The milestones of the store's `Maintenance`."""

    def record_milestone(self, milestone: Milestone, detail: str, seconds: float | None = None) -> None:
        with self._database.transaction() as run:
            run(_REPLACE, (milestone, instant(self._clock()), self._actor, detail, seconds))

    def milestones(self) -> dict[Milestone, Mark]:
        return dict(self._database.read(rows.mark_of, "SELECT * FROM milestone"))


class SqlDamageSearch(SqlMilestones):
    """The search for damage, a part at a time. Only a store that may write has it: its place is a milestone."""

    def continue_check(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while True:
            last = self.milestones().get(Milestone.DAMAGE_SEARCH)
            place, is_end = self._search_on("" if last is None else last.detail, min(seconds, _CHECK_SECONDS))
            # At once: if the next part is damaged, every later search begins with it.
            with self._database.transaction():
                if is_end:
                    self.record_milestone(Milestone.CHECKED, "")
                self.record_milestone(Milestone.DAMAGE_SEARCH, place)
            if is_end or time.monotonic() > end:
                return

    @abstractmethod
    def _search_on(self, place: str, seconds: float) -> tuple[str, bool]:
        """Search for damage from `place` on for about `seconds`; return where to go on, and whether that is the beginning again.

        Any text that is no place is the beginning: the state may come from another kind of database. Raise `StateError` if damage is
        found.
        """
