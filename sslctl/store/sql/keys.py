"""Keys at rest: their rotation, and the destruction of those that no one needs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta

from sslctl.rules.claim_names import KEY_ROTATION
from sslctl.rules.model import Certificate, Domain, Milestone
from sslctl.store.interface.keys import Rotated
from sslctl.store.keyring import Rotation
from sslctl.store.sql.claims import SqlClaims
from sslctl.store.sql.connection import Row, Serial, expect
from sslctl.text import instant

ENCRYPTED = (
    # First, so that a copy made during a rotation is not taken for one that the old key decrypts.
    ("key_check", "only_row", "sealed"),
    ("acme_order", "id", "sealed_key"),
    ("certificate", "id", "sealed_key"),
    ("audit_chain", "only_row", "sealed"),
    ("account_key", "id", "sealed"),
    ("history_seal", "number", "sealed"),
)
"""Every encrypted column: table, integer primary key, column. It is empty or NULL if the key was destroyed."""

_CLAIM_TIME = timedelta(hours=12)
# Other processes wait while so many are re-encrypted, a fraction of a second.
_BLOCK = 500
# Domains whose certificates are read together.
_NAMES = 200


class SqlKeys(SqlClaims):
    """The store's `Keys`."""

    def rotate_keys(self) -> Rotated:
        # Two rotations at once could each replace the other's new key.
        expect(self.claim([KEY_ROTATION], _CLAIM_TIME) != set(), "the keys are being rotated already")
        try:
            rotation, rewrapped = Rotation(self._keyring), 0
            # Whoever encrypted with the old key has committed then, and whoever encrypts later finds the new one in the file.
            with self._database.transaction():
                self._database.serialise(Serial.ENCRYPTION)
            # One round is enough (`Rotation`). A second one that finds nothing proves it before an old key is dropped.
            while count := sum(self._rewrap(rotation, *column) for column in ENCRYPTED):
                rewrapped += count
            self.require_claims([KEY_ROTATION])
            left = rotation.end()
            self.record_milestone(Milestone.KEYS_ROTATED, f"{rewrapped} re-encrypted")
        finally:
            self.release([KEY_ROTATION])
        return Rotated(rewrapped, rotation.goes_on, left)

    def _rewrap(self, rotation: Rotation, table: str, key: str, column: str) -> int:
        """Re-encrypt the values of `column` that the new key did not encrypt; return their number."""
        # What others changed since it was read stays: the destruction of a key, for one.
        update = f"UPDATE {table} SET {column} = ? WHERE {key} = ? AND {column} = ?"  # noqa: S608 - constants
        last, rewrapped = 0, 0
        while True:
            with self._database.transaction() as run:
                self.require_claims([KEY_ROTATION])
                found = self._encrypted(table, key, column, last)
                for identity, token in found:
                    renewed = rotation.rewrap(token, f"{table} {identity}")
                    if renewed is not None:
                        rewrapped += run(update, (renewed, identity, token)).rowcount
            if not found:
                return rewrapped
            last = found[-1][0]

    def _encrypted(self, table: str, key: str, column: str, after: int) -> list[tuple[int, bytes]]:
        """Return the next values of an encrypted column, with their primary keys."""
        sql = f"""SELECT {key}, {column} FROM {table} WHERE {key} > ? AND length({column}) > 0
            ORDER BY {key} LIMIT {_BLOCK}"""  # noqa: S608 - constants
        return self._database.read(lambda row: (row[0], row[1]), sql, (after,))

    def require_keys(self) -> None:
        for table, key, column in ENCRYPTED:
            last = 0
            while found := self._encrypted(table, key, column, last):
                for _, token in found:
                    self._keyring.decrypt(token)
                last = found[-1][0]

    def domains_with_spare_keys(self, issued_until: datetime) -> Iterator[str]:
        # In two statements: one that looks for so many matches could read all certificates before it finds them.
        select = f"SELECT name FROM domain WHERE name > ? ORDER BY name LIMIT {_NAMES}"  # noqa: S608 - constants
        matching = f"""SELECT name FROM domain WHERE name IN (SELECT value FROM {self._database.dialect.texts("?")})
            AND EXISTS (SELECT 1 FROM certificate WHERE certificate.domain_id = domain.id
              AND certificate.key_destroyed_at IS NULL AND certificate.issued_at <= ?
              AND certificate.id IS DISTINCT FROM domain.wanted_id
              AND certificate.id IS DISTINCT FROM domain.serving_id)
            ORDER BY name"""  # noqa: S608 - constants
        last = ""
        while names := self._database.read(_name_of, select, (last,)):
            yield from self._database.read(_name_of, matching, (json.dumps(names), instant(issued_until)))
            last = names[-1]

    def destroy_key(self, domain: Domain, certificate: Certificate) -> None:
        sql = """UPDATE certificate SET sealed_key = ?, key_destroyed_at = ? WHERE id = ? AND NOT EXISTS (
            SELECT 1 FROM domain WHERE domain.id = certificate.domain_id AND certificate.id IN (wanted_id, serving_id))"""
        # Until the end nobody wants or serves this version again.
        keep = f"SELECT 1 FROM domain WHERE id = ? {self._database.dialect.for_update()}"  # noqa: S608 - constants
        with self._database.transaction() as run:
            run(keep, (certificate.domain_id,))
            destroyed = run(sql, (b"", instant(self._clock()), certificate.id))
            expect(destroyed.rowcount == 1, f"version {certificate.version} of {domain.name} is in use")
            self._append_event(domain.id, "key destroyed", "", certificate.version)


def _name_of(row: Row) -> str:
    return str(row["name"])
