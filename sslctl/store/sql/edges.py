"""What the edges were seen to serve; see `sslctl.store.interface.edges`."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sslctl.rules.edges import Drift, LateEdge, SilentEdge
from sslctl.rules.model import Domain
from sslctl.store.sql.part import SqlPart
from sslctl.store.sql.values import text_of, time_of
from sslctl.text import instant

_MOST_EXAMPLES = 3

_KNOWN = "SELECT edge, fingerprint FROM edge_drift WHERE domain_id = ?"
_RECORD = """INSERT INTO edge_drift (domain_id, edge, fingerprint, version, since, late_at) VALUES (?, ?, ?, ?, ?, ?)
  ON CONFLICT (domain_id, edge) DO UPDATE SET fingerprint = excluded.fingerprint, version = excluded.version,
    since = excluded.since, late_at = excluded.late_at"""
_LATE = """SELECT edge, count(*) AS domains, min(since) AS since,
    sum(CASE WHEN fingerprint <> '' AND version IS NULL THEN 1 ELSE 0 END) AS other,
    sum(CASE WHEN fingerprint = '' THEN 1 ELSE 0 END) AS bare
  FROM edge_drift JOIN domain ON domain.id = domain_id WHERE deleted_at IS NULL AND late_at <= ? GROUP BY edge ORDER BY edge"""
_EXAMPLES = """SELECT name FROM edge_drift JOIN domain ON domain.id = domain_id
  WHERE deleted_at IS NULL AND late_at <= ? AND edge = ? ORDER BY since, name LIMIT ?"""
_DRIFTING = """SELECT name FROM edge_drift JOIN domain ON domain.id = domain_id
  WHERE deleted_at IS NULL GROUP BY domain_id, name ORDER BY min(since), domain_id LIMIT ?"""
_SAMPLE = """SELECT name FROM domain WHERE {of_cursor} AND deleted_at IS NULL AND serving_id IS NOT NULL ORDER BY id LIMIT ?"""


class SqlEdges(SqlPart):
    """The store's `Edges`."""

    def record_edge_answers(self, domain: Domain, drifts: Collection[Drift], same: Collection[str]) -> None:
        known = dict(self._database.read(tuple, _KNOWN, (domain.id,)))
        news = [each for each in drifts if known.get(each.edge) != each.fingerprint]
        ended = [edge for edge in same if edge in known]
        if not news and not ended:
            return
        now = instant(self._clock())
        with self._database.transaction() as run:
            if run("SELECT revision FROM domain WHERE id = ?", (domain.id,)).fetchone()[0] != domain.revision:
                return
            for each in news:
                values = (each.fingerprint, each.version, now, instant(each.late_at))
                run(_RECORD, (domain.id, each.edge, *values))
            for edge in ended:
                run("DELETE FROM edge_drift WHERE domain_id = ? AND edge = ?", (domain.id, edge))

    def drifting_domains(self, most: int) -> list[str]:
        return self._database.read(lambda row: text_of(row["name"]), _DRIFTING, (most,))

    def edge_sample(self, most: int) -> list[str]:
        found = self._database.read(tuple, "SELECT domain_id FROM edge_sample")
        cursor = found[0][0] if found else 0
        names = self._sample("id > ?", cursor, most)
        return names + (self._sample("id <= ?", cursor, most - len(names)) if len(names) < most else [])

    def _sample(self, of_cursor: str, cursor: int, most: int) -> list[str]:
        sql = _SAMPLE.format(of_cursor=of_cursor)
        return self._database.read(lambda row: text_of(row["name"]), sql, (cursor, most))

    def advance_edge_sample(self, name: str) -> None:
        with self._database.transaction() as run:
            run(
                """INSERT INTO edge_sample (only_row, domain_id) SELECT 1, max(id) FROM domain WHERE name = ? HAVING count(*) > 0
                ON CONFLICT (only_row) DO UPDATE SET domain_id = excluded.domain_id""",
                (name,),
            )

    def late_edges(self, now: datetime) -> list[LateEdge]:
        at = instant(now)
        return [
            LateEdge(text_of(edge), domains, other, bare, time_of(since), self._examples(edge, at))
            for edge, domains, since, other, bare in self._database.read(tuple, _LATE, (at,))
        ]

    def _examples(self, edge: str, at: str) -> tuple[str, ...]:
        values = (at, edge, _MOST_EXAMPLES)
        return tuple(self._database.read(lambda row: text_of(row["name"]), _EXAMPLES, values))

    def silent_edges(self) -> list[SilentEdge]:
        return self._database.read(
            lambda row: SilentEdge(text_of(row["edge"]), time_of(row["since"]), text_of(row["why"])),
            "SELECT edge, since, why FROM silent_edge ORDER BY edge",
        )

    def record_silent_edge(self, edge: str, why: str) -> None:
        with self._database.transaction() as run:
            run(
                """INSERT INTO silent_edge (edge, since, why) VALUES (?, ?, ?)
                ON CONFLICT (edge) DO UPDATE SET why = excluded.why""",
                (edge, instant(self._clock()), why),
            )

    def record_edge_answered(self, edge: str) -> None:
        with self._database.transaction() as run:
            run("DELETE FROM silent_edge WHERE edge = ?", (edge,))

    def keep_edges(self, edges: Collection[str]) -> None:
        for table in ("edge_drift", "silent_edge"):
            known = self._database.read(tuple, f"SELECT DISTINCT edge FROM {table}")  # noqa: S608 - constants
            gone = [edge for (edge,) in known if edge not in edges]
            if gone:
                with self._database.transaction() as run:
                    for edge in gone:
                        run(f"DELETE FROM {table} WHERE edge = ?", (edge,))  # noqa: S608 - constants
