"""What `daemon-tick -q` has printed; see `sslctl.store.interface.reported`."""

from __future__ import annotations

import json
from collections.abc import Mapping

from sslctl.rules.reported import Kind, Printed
from sslctl.store.sql.connection import Row
from sslctl.store.sql.part import SqlPart
from sslctl.store.sql.values import optional_time_of, text_of, time_of
from sslctl.text import instant

_PUT = """INSERT INTO reported (subject, kind, states, gone_since) VALUES (?, ?, ?, ?)
    ON CONFLICT (subject) DO UPDATE SET kind = excluded.kind, states = excluded.states, gone_since = excluded.gone_since"""


class SqlReportedTroubles(SqlPart):
    """The store's `ReportedTroubles`."""

    def printed(self) -> dict[str, Printed]:
        return dict(self._database.read(_printed_of, "SELECT * FROM reported"))

    def record_printed(self, printed: Mapping[str, Printed]) -> None:
        with self._database.transaction() as run:
            before = self.printed()
            for subject in before.keys() - printed.keys():
                run("DELETE FROM reported WHERE subject = ?", (subject,))
            for subject in sorted(printed):
                if printed[subject] != before.get(subject):
                    run(_PUT, (subject, *_values(printed[subject])))


def _values(printed: Printed) -> tuple[object, ...]:
    states = {state: instant(at) for state, at in printed.states.items()}
    return printed.kind, json.dumps(states), printed.gone_since and instant(printed.gone_since)


def _printed_of(row: Row) -> tuple[str, Printed]:
    states = {str(state): time_of(at) for state, at in json.loads(row["states"]).items()}
    printed = Printed(Kind(row["kind"]), states, optional_time_of(row["gone_since"]))
    return text_of(row["subject"]), printed
