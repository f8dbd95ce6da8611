"""The last message that was to reach a person, in the SQLite store."""

from __future__ import annotations

import json

from sslctl.rules.model import Notice
from sslctl.rules.reasons import Status
from sslctl.store.sql.connection import Connection, Row
from sslctl.store.sql.rows import time_of
from sslctl.text import instant


class Notices:
    """The part of `Store` that remembers what people were told."""

    _database: Connection

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
            run("INSERT OR REPLACE INTO notice VALUES (1, ?, ?, ?, ?, ?)", values)


def _notice_of(row: Row) -> Notice:
    return Notice(
        row["at"] and time_of(row["at"]),
        frozenset((str(name), Status(status)) for name, status in json.loads(row["troubles"])),
        tuple(map(int, json.loads(row["missed"]))),
        row["missed_since"] and time_of(row["missed_since"]),
        row["why"],
    )
