"""Old history that goes into archives: what it is, and its deletion once an archive of it is sealed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from sslctl.rules.history_seal import Seal

OrderPlace = tuple[str, int]
"""Where a search of orders goes on: behind the one that was opened at a time (RFC 3339) and has an id."""
FIRST_ORDER: OrderPlace = ("", 0)


class Archives(Protocol):
    """Old events, certificates and orders. Each method reads or changes a bounded number of rows."""

    def find_young_event(self, after: int, last: int, until: datetime) -> tuple[int, int | None]:
        """Count the events with ids above `after` up to `last` that precede the first one later than `until`; return also its id.

        The id is None if there is none. An event that is dated in the future counts as old: the clock was wrong.
        """

    def old_certificates(self, until: datetime, after: int, limit: int) -> tuple[Sequence[int], int | None]:
        """Return ids of certificates above `after` that nothing needs since `until`, and after which id to go on, None at the end.

        They have expired and were superseded by then, are neither wanted nor served, and are neither the newest version of their domain
        nor the last one that C4 was seen to serve. Those in a sealed archive are left out.
        """

    def old_orders(
        self, until: datetime, after: OrderPlace, limit: int
    ) -> tuple[Sequence[int], OrderPlace | None]:
        """Return ids, the oldest first, of those of the next `limit` orders behind `after` that were closed by `until`.

        Those in a sealed archive are left out. Return also the place to go on from, None at the end.
        """

    def count_old_orders(self, until: datetime) -> int:
        """Return how many orders `old_orders` finds from the first one on."""

    def certificates_to_archive(self, ids: Sequence[int]) -> list[dict[str, object]]:
        """Return the certificates `ids` with their chains and the names of their domains, and without keys.

        Raise `StateError` if one is not as it was stored.
        """

    def orders_to_archive(self, ids: Sequence[int]) -> list[dict[str, object]]:
        """Return the orders `ids` with the names of their domains, and without keys."""

    def seal_history(self, seal: Seal, certificates: Sequence[int], orders: Sequence[int]) -> None:
        """Record, with an event, that the archive of `seal` has everything up to its cut, and these certificates and orders.

        From now on they may be deleted. Raise `Busy` if another process made a seal meanwhile.
        """

    def delete_archived_events(self, after: int, limit: int) -> int | None:
        """Delete up to `limit` events with ids above `after` that are in archives; return the last id, None if none is left."""

    def delete_archived_orders(self, limit: int) -> int:
        """Delete up to `limit` orders that are in archives; return how many. 0 means that none is left."""

    def archived_certificates(self, after: int, limit: int) -> list[tuple[int, str]]:
        """Return ids above `after` of certificates that are in archives and not deleted yet, with the names of their domains."""

    def delete_archived_certificates(self, ids: Sequence[int]) -> int:
        """Delete the certificates `ids`, which are in archives, except one that is wanted or served again; return how many."""
