"""The keys of the account at the CA; see `sslctl.store.interface.account_keys`."""

from __future__ import annotations

from sslctl.rules.account_key import AccountKey, KeyRole, thumbprint_of
from sslctl.store.sql.connection import Row, Serial, expect
from sslctl.store.sql.history import SqlHistory
from sslctl.store.sql.values import time_of
from sslctl.text import instant

_SELECT = "SELECT sealed, created_at FROM account_key WHERE role = ?"
_INSERT = "INSERT INTO account_key (role, sealed, created_at) VALUES (?, ?, ?)"
_RENAME = "UPDATE account_key SET role = ? WHERE role = ?"


class SqlAccountKeys(SqlHistory):
    """The store's `AccountKeys`."""

    def account_key(self, role: KeyRole) -> AccountKey | None:
        found = self._database.read(self._account_key_of, _SELECT, (role,))
        return found[0] if found else None

    def add_account_key(self, role: KeyRole, jwk: str, origin: str) -> AccountKey:
        thumbprint = thumbprint_of(jwk)
        with self._database.transaction() as run:
            # Processes that start at once get one key.
            self._database.serialise(Serial.ACCOUNT)
            known = self.account_key(role)
            if known is not None:
                return known
            at = self._clock()
            run(_INSERT, (role, self._encrypt(jwk), instant(at)))
            self._append_general_event("account key", f"{role}: {thumbprint}, {origin}")
        return AccountKey(jwk, at)

    def promote_account_key(self) -> None:
        with self._database.transaction() as run:
            following = self.account_key(KeyRole.NEXT)
            expect(following is not None, "there is no next account key any more")
            expect(self.account_key(KeyRole.PREVIOUS) is None, "a CA may still have the previous account key")
            run(_RENAME, (KeyRole.PREVIOUS, KeyRole.CURRENT))
            run(_RENAME, (KeyRole.CURRENT, KeyRole.NEXT))
            assert following is not None  # noqa: S101 - expected above
            self._append_general_event("account key", f"current: {following.thumbprint}, was the next")

    def drop_previous_account_key(self) -> None:
        with self._database.transaction() as run:
            known = self.account_key(KeyRole.PREVIOUS)
            if known is not None:
                run("DELETE FROM account_key WHERE role = ?", (KeyRole.PREVIOUS,))
                self._append_general_event("account key", f"destroyed: {known.thumbprint}")

    def _account_key_of(self, row: Row) -> AccountKey:
        return AccountKey(self._keyring.decrypt(row["sealed"]), time_of(row["created_at"]))
