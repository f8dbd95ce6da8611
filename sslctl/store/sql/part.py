"""What all parts of the SQL store share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sslctl.store.keyring import Keyring
from sslctl.store.sql import rows
from sslctl.store.sql.connection import Connection, Serial

SELECT_KEY_CHECK = "SELECT sealed FROM key_check"


class SqlPart:
    """A part of the store. `SqlStore` puts the parts together and sets these attributes.

    `_actor` is written into every event.
    """

    _database: Connection
    _keyring: Keyring
    _clock: Callable[[], datetime]
    _actor: str

    @property
    def _select_domain(self) -> str:
        """The query of domains, for `rows.domain_of`."""
        return rows.select_domain(self._database.dialect)

    def require_key(self) -> None:
        """Raise `StateError` if the key file does not decrypt this state."""
        self._database.read(lambda row: self._keyring.decrypt(row["sealed"]), SELECT_KEY_CHECK)

    def _encrypt(self, text: str) -> bytes:
        """Encrypt `text` in the open transaction, which stores it. A rotation of the keys waits for its end."""
        self._database.share(Serial.ENCRYPTION)
        return self._keyring.encrypt(text)
