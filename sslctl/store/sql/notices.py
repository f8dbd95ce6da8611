"""The last notification that was to be delivered to people."""

from __future__ import annotations

import json

from sslctl.rules.model import Notice
from sslctl.store.sql.connection import Row
from sslctl.store.sql.part import SqlPart
from sslctl.store.sql.values import text_of, time_of
from sslctl.text import instant

_REPLACE = """INSERT INTO notice (only_row, at, troubles, missed, missed_since, why) VALUES (1, ?, ?, ?, ?, ?)
    ON CONFLICT (only_row) DO UPDATE SET at = excluded.at, troubles = excluded.troubles, missed = excluded.missed,
    missed_since = excluded.missed_since, why = excluded.why"""


class SqlNotices(SqlPart):
    """The store's `Notices`."""

    def last_notice(self) -> Notice:
        found = self._database.read(_notice_of, "SELECT * FROM notice")
        return found[0] if found else Notice()

    def record_notice(self, notice: Notice) -> None:
        values = (
            notice.at and instant(notice.at),
            json.dumps(sorted(notice.troubles)),
            json.dumps(notice.missed),
            notice.missed_since and instant(notice.missed_since),
            notice.why,
        )
        with self._database.transaction() as run:
            run(_REPLACE, values)


def _notice_of(row: Row) -> Notice:
    return Notice(
        row["at"] and time_of(row["at"]),
        frozenset((str(name), str(what)) for name, what in json.loads(row["troubles"])),
        tuple(map(int, json.loads(row["missed"]))),
        row["missed_since"] and time_of(row["missed_since"]),
        text_of(row["why"]),
    )
