"""What the state knows of a control plane's domains; see `sslctl.store.interface.inventory`."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

from sslctl.rules.reasons import Status
from sslctl.store.interface.inventory import KnownDomain, ManagedDomain
from sslctl.store.sql import status_sql
from sslctl.store.sql.part import SqlPart

# An adopted certificate is known although sslctl has no copy of it (`versions.is_adopted`).
_KNOWN = """SELECT domain.name, domain.id, domain.deleted_at IS NULL, certificate.fingerprint,
      CASE WHEN domain.source = 'text' AND domain.wanted_id IS NULL THEN domain.foreign_fingerprint END
    FROM domain LEFT JOIN certificate ON certificate.domain_id = domain.id
    WHERE domain.name IN (SELECT value FROM {names})"""
_FINGERPRINTS = """SELECT fingerprint FROM certificate {hint}
    WHERE fingerprint IN (SELECT value FROM {fingerprints})"""
_MANAGED = f"""SELECT name, id, coalesce(finding_code IN ({status_sql.codes(Status.DISCARD)}), FALSE) FROM domain
    WHERE deleted_at IS NULL AND id > ? ORDER BY id LIMIT ?"""  # noqa: S608 - constants


class SqlInventory(SqlPart):
    """The store's `Inventory`."""

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
            lambda row: ManagedDomain(row[0], row[1], bool(row[2])), _MANAGED, (after, limit)
        )
