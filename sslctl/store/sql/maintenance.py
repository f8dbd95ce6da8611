"""What is done to the state as a whole: its keys rotated, those of old certificates destroyed, milestones kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sslctl.rules.claim_names import KEY_ROTATION
from sslctl.rules.model import Milestone
from sslctl.store.interface.keys import Rotated
from sslctl.store.keyring import Keyring, Rotation
from sslctl.store.sql import claims
from sslctl.store.sql.connection import Connection, expect
from sslctl.text import instant

SEALED = (
    # First, so that a copy made midway is not taken for one that the old key opens.
    ("key_check", "sealed"),
    ("acme_order", "sealed_key"),
    ("certificate", "sealed_key"),
    ("audit_chain", "sealed"),
)
"""Every column that the keyring sealed, of tables with a rowid. It is empty or NULL where a key was destroyed."""

_CLAIM_TIME = timedelta(hours=12)
# For as long as these take, a fraction of a second, other processes wait.
_BLOCK = 500


class Maintenance:
    """The part of `Store` that looks after the whole."""

    _database: Connection
    _keyring: Keyring
    _clock: Callable[[], datetime]
    _actor: str
    _owner: str

    # Milestones

    def record_milestone(self, milestone: Milestone, detail: str) -> None:
        with self._database.transaction() as run:
            values = (milestone, instant(self._clock()), self._actor, detail)
            run("INSERT OR REPLACE INTO milestone (name, at, actor, detail) VALUES (?, ?, ?, ?)", values)

    # Keys

    def rotate_keys(self) -> Rotated:
        # Two at once could each put a new key in the place of the other's.
        with self._database.transaction() as run:
            now = self._clock()
            is_free = claims.take(run, KEY_ROTATION, self._owner, now, now + _CLAIM_TIME)
            expect(is_free, "the keys are being rotated already")
        try:
            rotation, rewrapped = Rotation(self._keyring), 0
            # One pass is enough (`Rotation`). That another one finds nothing to do is the proof, before a key is lost.
            while count := sum(self._rewrap(rotation, *column) for column in SEALED):
                rewrapped += count
            left = rotation.end()
            self.record_milestone(Milestone.KEYS_ROTATED, f"{rewrapped} sealed anew")
        finally:
            with self._database.transaction() as run:
                claims.give_up(run, KEY_ROTATION, self._owner)
        return Rotated(rewrapped, rotation.goes_on, left)

    def _rewrap(self, rotation: Rotation, table: str, column: str) -> int:
        """Seal what `column` of `table` holds with the new key; give how many values were not yet."""
        update = f"UPDATE {table} SET {column} = ? WHERE rowid = ?"  # noqa: S608 - constants
        last, rewrapped = 0, 0
        while True:
            with self._database.transaction() as run:
                found = self._sealed(table, column, last)
                for rowid, sealed in found:
                    renewed = rotation.rewrap(sealed, f"{table} {rowid}")
                    if renewed is not None:
                        run(update, (renewed, rowid))
                        rewrapped += 1
            if not found:
                return rewrapped
            last = found[-1][0]

    def _sealed(self, table: str, column: str, after: int) -> list[tuple[int, bytes]]:
        """Give the next values of a sealed column, with their rowids."""
        sql = f"""SELECT rowid, {column} FROM {table} WHERE rowid > ? AND length({column}) > 0
            ORDER BY rowid LIMIT {_BLOCK}"""  # noqa: S608 - constants
        return self._database.read(lambda row: (row[0], row[1]), sql, (after,))

    def require_keys(self) -> None:
        for table, column in SEALED:
            last = 0
            while found := self._sealed(table, column, last):
                for _, sealed in found:
                    self._keyring.decrypt(sealed)
                last = found[-1][0]

    def domains_with_spare_keys(self, issued_until: datetime) -> list[str]:
        sql = """SELECT DISTINCT domain.name FROM certificate JOIN domain ON domain.id = certificate.domain_id
            WHERE certificate.key_destroyed_at IS NULL AND certificate.issued_at <= ?
            AND certificate.id IS NOT domain.wanted_id AND certificate.id IS NOT domain.serving_id
            ORDER BY domain.name"""
        return self._database.read(lambda row: str(row["name"]), sql, (instant(issued_until),))
