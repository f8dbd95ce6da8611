"""The status of each domain that the endpoint of the webhook accepted; see `sslctl.store.interface.transitions`."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import uuid4

from sslctl.rules.reasons import Code, Status
from sslctl.rules.transition import Standing, Transition, WebhookTrouble
from sslctl.store.sql import filters, rows, status_sql
from sslctl.store.sql.connection import Row
from sslctl.store.sql.part import SqlPart
from sslctl.store.sql.values import text_of, time_of
from sslctl.text import instant

_CHANGED = f"""SELECT * FROM (
    SELECT domain.id AS domain_id,
      CASE WHEN domain.deleted_at IS NULL THEN {status_sql.STATUS} END AS status,
      CASE WHEN domain.deleted_at IS NULL THEN {filters.BLAMED} END AS code,
      seen.domain_id AS seen_id, seen.status AS seen_status, seen.code AS seen_code
    {{from_domain}} LEFT JOIN announced_status AS seen ON seen.domain_id = domain.id
    WHERE domain.deleted_at IS NULL OR seen.domain_id IS NOT NULL) AS present
  WHERE seen_id IS NULL OR status IS DISTINCT FROM seen_status OR code IS DISTINCT FROM seen_code"""  # noqa: S608 - constants
_BASELINE = """INSERT INTO announced_status (domain_id, accepted_status, accepted_code, status, code, seen_at, changes)
  SELECT domain_id, status, code, status, code, :now, 0 FROM ({changed}) AS changed"""
_NOTE = """INSERT INTO announced_status (domain_id, status, code, seen_at, changes)
  SELECT domain_id, status, code, :now, 1 FROM ({changed}) AS changed WHERE TRUE
  ON CONFLICT (domain_id) DO UPDATE SET status = excluded.status, code = excluded.code, seen_at = excluded.seen_at,
    changes = announced_status.changes + 1, message_id = NULL"""
_OWED = """SELECT domain.name, owed.* FROM announced_status AS owed JOIN domain ON domain.id = owed.domain_id
  WHERE owed.changes > 0 AND owed.tried_at IS DISTINCT FROM :now
  ORDER BY owed.tried_at IS NOT NULL, owed.tried_at, owed.seen_at, owed.domain_id LIMIT :most"""

_TRY = "UPDATE announced_status SET message_id = ?, tried_at = ? WHERE domain_id = ?"
_SETTLE = """UPDATE announced_status SET accepted_status = status, accepted_code = code, changes = 0,
  message_id = NULL, tried_at = NULL WHERE domain_id = ? AND message_id = ?"""


class SqlTransitions(SqlPart):
    """The store's `Transitions`."""

    def note_transitions(self, now: datetime) -> None:
        changed = _CHANGED.format(from_domain=rows.from_whole_domains(self._database.dialect))
        values = {"now": instant(now)}
        if not self._is_announcing():
            with self._database.transaction() as run:
                run(_BASELINE.format(changed=changed), values)
                run("INSERT INTO webhook (only_row) VALUES (1)")
        # The comparison reads all domains: others can write meanwhile, and usually nothing has changed.
        elif self._database.read(tuple, f"{changed} LIMIT 1", values):
            with self._database.transaction() as run:
                run(_NOTE.format(changed=changed), values)

    def take_transitions(self, now: datetime, most: int) -> list[Transition]:
        found = self._database.read(_transition_of, _OWED, {"now": instant(now), "most": most})
        with self._database.transaction() as run:
            for each in found:
                run(_TRY, (each.message_id, instant(now), each.domain_id))
        return found

    def settle_transitions(self, accepted: Collection[Transition]) -> None:
        with self._database.transaction() as run:
            for each in accepted:
                at = (each.domain_id, each.message_id)
                if each.after is None:
                    run("DELETE FROM announced_status WHERE domain_id = ? AND message_id = ?", at)
                else:
                    run(_SETTLE, at)

    def forget_transitions(self) -> None:
        if self._is_announcing():
            with self._database.transaction() as run:
                run("DELETE FROM announced_status")
                run("DELETE FROM webhook")

    def record_webhook_error(self, now: datetime, why: str) -> None:
        trouble = self.webhook_trouble()
        if why or trouble is not None:
            since = None if not why else instant(now if trouble is None else min(now, trouble.since))
            with self._database.transaction() as run:
                run("UPDATE webhook SET failing_since = ?, why = ?", (since, why or None))

    def webhook_trouble(self) -> WebhookTrouble | None:
        sql = """SELECT failing_since, why, (SELECT count(*) FROM announced_status WHERE changes > 0) AS owed
            FROM webhook WHERE failing_since IS NOT NULL"""
        found = self._database.read(
            lambda row: WebhookTrouble(time_of(row["failing_since"]), text_of(row["why"]), row["owed"]), sql
        )
        return found[0] if found else None

    def _is_announcing(self) -> bool:
        return bool(self._database.read(tuple, "SELECT 1 FROM webhook"))


def _transition_of(row: Row) -> Transition:
    return Transition(
        domain_id=row["domain_id"],
        name=text_of(row["name"]),
        before=_standing_of(row["accepted_status"], row["accepted_code"]),
        after=_standing_of(row["status"], row["code"]),
        seen_at=time_of(row["seen_at"]),
        changes=row["changes"],
        message_id=row["message_id"] or uuid4().hex,
    )


def _standing_of(status: str | None, code: str | None) -> Standing | None:
    return None if status is None else Standing(Status(status), None if code is None else Code(code))
