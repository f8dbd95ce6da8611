"""What all parts of the SQL store share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sslctl.store.keyring import Keyring
from sslctl.store.sql.connection import Connection


class SqlPart:
    """A part of the store. `SqlStore` puts the parts together and sets these attributes.

    `_actor` is written into every event.
    """

    _database: Connection
    _keyring: Keyring
    _clock: Callable[[], datetime]
    _actor: str
