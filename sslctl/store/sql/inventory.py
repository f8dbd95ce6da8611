"""What the state knows of a control plane's domains; see `sslctl.store.interface.inventory`."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime

from sslctl.rules.reasons import Status
from sslctl.store.interface.inventory import KnownDomain, ManagedDomain, Seen, Unmanaged
from sslctl.store.sql import status_sql
from sslctl.store.sql.part import SqlPart
from sslctl.store.sql.values import optional_time_of, time_of
from sslctl.text import instant

# An adopted certificate is known although sslctl has no copy of it (`versions.is_adopted`).
_KNOWN = """SELECT domain.name, domain.id, domain.deleted_at IS NULL, certificate.fingerprint,
      CASE WHEN domain.source = 'text' AND domain.wanted_id IS NULL THEN domain.foreign_fingerprint END
    FROM domain LEFT JOIN certificate ON certificate.domain_id = domain.id
    WHERE domain.name IN (SELECT value FROM {names})"""
_FINGERPRINTS = """SELECT fingerprint FROM certificate {hint}
    WHERE fingerprint IN (SELECT value FROM {fingerprints})"""
_IS_UNKNOWN = f"coalesce(domain.finding_code IN ({status_sql.codes(Status.DISCARD)}), FALSE)"
_MANAGED = f"""SELECT name, id, {_IS_UNKNOWN}, observed_at FROM domain
    WHERE deleted_at IS NULL AND id > ? ORDER BY id LIMIT ?"""  # noqa: S608 - constants
_SEEN = f"""SELECT domain.name, domain.id, coalesce(domain.foreign_fingerprint, serving.fingerprint), {_IS_UNKNOWN},
      domain.suspicion_code IS NOT NULL, domain.customer
    FROM domain LEFT JOIN certificate AS serving {{hint}} ON serving.id = domain.serving_id
    WHERE domain.deleted_at IS NULL AND domain.name IN (SELECT value FROM {{names}})"""  # noqa: S608 - constants
# This changes no revision: nothing else depends on it.
_CONFIRM = "UPDATE domain SET observed_at = :at WHERE id IN (SELECT value FROM {numbers})"
_NEW = """FROM unmanaged_domain WHERE first_seen_at = ? AND is_missed = 0 AND NOT EXISTS (
    SELECT 1 FROM domain WHERE domain.name = unmanaged_domain.name AND domain.deleted_at IS NULL)"""
_RECORD = """INSERT INTO unmanaged_domain (name, first_seen_at) SELECT value, ? FROM {names} WHERE TRUE
    ON CONFLICT (name) DO NOTHING"""
_MISS = "UPDATE unmanaged_domain SET is_missed = 1 WHERE id IN (SELECT value FROM {numbers})"
_SEE_AGAIN = "UPDATE unmanaged_domain SET is_missed = 0 WHERE id IN (SELECT value FROM {numbers})"
_FORGET = "DELETE FROM unmanaged_domain WHERE id IN (SELECT value FROM {numbers})"
# So many rows are committed at a time, so that other processes do not wait long.
_BLOCK = 5000
_MOST_NAMED = 5


class SqlInventory(SqlPart):
    """The store's `Inventory` and `UnmanagedDomains`."""

    def known_domains(self, names: Sequence[str]) -> dict[str, KnownDomain]:
        sql = _KNOWN.format(names=self._database.dialect.texts("?"))
        found: dict[str, KnownDomain] = {}
        for name, number, is_managed, *fingerprints in self._database.read(tuple, sql, (json.dumps(names),)):
            known = found.get(name) or KnownDomain(name, number, bool(is_managed), frozenset())
            found[name] = known._replace(
                fingerprints=known.fingerprints | {each for each in fingerprints if each is not None}
            )
        return found

    def known_fingerprints(self, fingerprints: Collection[str]) -> set[str]:
        dialect = self._database.dialect
        sql = _FINGERPRINTS.format(
            hint=dialect.index_hint("certificate_facts"), fingerprints=dialect.texts("?")
        )
        return set(self._database.read(lambda row: str(row[0]), sql, (json.dumps(sorted(fingerprints)),)))

    def managed_domains(self, after: int, limit: int) -> list[ManagedDomain]:
        return self._database.read(
            lambda row: ManagedDomain(row[0], row[1], bool(row[2]), optional_time_of(row[3])),
            _MANAGED,
            (after, limit),
        )

    def seen(self, names: Sequence[str]) -> list[Seen]:
        dialect = self._database.dialect
        sql = _SEEN.format(hint=dialect.index_hint("certificate_facts"), names=dialect.texts("?"))
        return self._database.read(
            lambda row: Seen(row[0], row[1], row[2], bool(row[3]), bool(row[4]), row[5]),
            sql,
            (json.dumps(names),),
        )

    def confirm_seen(self, numbers: Sequence[int], at: datetime) -> None:
        sql = _CONFIRM.format(numbers=self._database.dialect.integers(":numbers"))
        for start in range(0, len(numbers), _BLOCK):
            block = json.dumps(numbers[start : start + _BLOCK])
            with self._database.transaction() as run:
                run(sql, {"numbers": block, "at": instant(at)})

    def unmanaged(self) -> Unmanaged | None:
        read = self._database.read
        counts = "SELECT count(*), max(first_seen_at) FROM unmanaged_domain WHERE is_missed = 0"
        ((number, since),) = read(tuple, counts)
        if since is None:
            return None
        ((new,),) = read(tuple, f"SELECT count(*) {_NEW}", (since,))
        first = read(
            lambda row: str(row[0]),
            f"SELECT name {_NEW} ORDER BY name LIMIT ?",
            (since, _MOST_NAMED),
        )
        return Unmanaged(number, time_of(since), new, tuple(first))

    def unmanaged_named(self, names: Sequence[str]) -> dict[str, int]:
        sql = f"SELECT name, id FROM unmanaged_domain WHERE name IN (SELECT value FROM {self._database.dialect.texts('?')})"  # noqa: S608 - constants
        return dict(self._database.read(tuple, sql, (json.dumps(names),)))

    def unmanaged_numbers(self, after: int, limit: int) -> list[tuple[int, bool]]:
        sql = "SELECT id, is_missed FROM unmanaged_domain WHERE id > ? ORDER BY id LIMIT ?"
        return self._database.read(lambda row: (int(row[0]), bool(row[1])), sql, (after, limit))

    def record_unmanaged(self, names: Sequence[str], at: datetime) -> None:
        sql = _RECORD.format(names=self._database.dialect.texts("?"))
        for start in range(0, len(names), _BLOCK):
            with self._database.transaction() as run:
                run(sql, (instant(at), json.dumps(names[start : start + _BLOCK])))

    def set_unmanaged_missed(self, numbers: Sequence[int], *, is_missed: bool) -> None:
        self._change_unmanaged(_MISS if is_missed else _SEE_AGAIN, numbers)

    def forget_unmanaged(self, numbers: Sequence[int]) -> None:
        self._change_unmanaged(_FORGET, numbers)

    def _change_unmanaged(self, change: str, numbers: Sequence[int]) -> None:
        sql = change.format(numbers=self._database.dialect.integers("?"))
        for start in range(0, len(numbers), _BLOCK):
            with self._database.transaction() as run:
                run(sql, (json.dumps(numbers[start : start + _BLOCK]),))
