"""The last notifications that were to be delivered to people."""

from __future__ import annotations

import json
from collections.abc import Mapping

from sslctl.rules.notice import Notice, NoticeKey, NoticeKind
from sslctl.store.sql.connection import Row
from sslctl.store.sql.part import SqlPart
from sslctl.store.sql.values import text_of, time_of
from sslctl.text import instant

_INSERT = """INSERT INTO notice (route, kind, at, troubles, news, missed, missed_since, why)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""


class SqlNotices(SqlPart):
    """The store's `Notices`."""

    def notices(self) -> dict[NoticeKey, Notice]:
        return dict(self._database.read(_notice_of, "SELECT * FROM notice ORDER BY route, kind DESC"))

    def record_notices(self, notices: Mapping[NoticeKey, Notice]) -> None:
        with self._database.transaction() as run:
            run("DELETE FROM notice")
            for key, notice in notices.items():
                if notice != Notice():
                    run(_INSERT, (*key, *_values(notice)))


def _values(notice: Notice) -> tuple[object, ...]:
    return (
        notice.at and instant(notice.at),
        json.dumps(sorted(notice.troubles)),
        json.dumps(sorted(notice.news)),
        json.dumps(notice.missed),
        notice.missed_since and instant(notice.missed_since),
        notice.why,
    )


def _notice_of(row: Row) -> tuple[NoticeKey, Notice]:
    return NoticeKey(text_of(row["route"]), NoticeKind(row["kind"])), Notice(
        row["at"] and time_of(row["at"]),
        _pairs(row["troubles"]),
        tuple(map(int, json.loads(row["missed"]))),
        row["missed_since"] and time_of(row["missed_since"]),
        text_of(row["why"]),
        _pairs(row["news"]),
    )


def _pairs(text: str) -> frozenset[tuple[str, str]]:
    return frozenset((str(name), str(what)) for name, what in json.loads(text))
