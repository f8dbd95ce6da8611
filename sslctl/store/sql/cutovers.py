"""Domains before their cutover; see `sslctl.store.interface.cutovers`."""

from __future__ import annotations

from collections.abc import Sequence

from sslctl.rules.model import Domain
from sslctl.store.sql.history import SqlHistory
from sslctl.store.sql.queries import SqlQueries
from sslctl.text import instant

_BEGIN = """UPDATE domain SET before_cutover_since = ? WHERE id = ? AND deleted_at IS NULL AND before_cutover_since IS NULL"""
_END = "UPDATE domain SET before_cutover_since = NULL WHERE id = ? AND before_cutover_since IS NOT NULL"
_BLOCK = 1000


class SqlCutovers(SqlQueries, SqlHistory):
    """The store's `Cutovers`."""

    def begin_cutovers(self, names: Sequence[str]) -> None:
        now = instant(self._clock())
        for start in range(0, len(names), _BLOCK):
            with self._database.transaction() as run:
                for domain in self.domains_named(names[start : start + _BLOCK]):
                    if run(_BEGIN, (now, domain.id)).rowcount:
                        self._append_event(domain.id, "before cutover", "DNS may point elsewhere until then")

    def end_cutover(self, domain: Domain, why: str) -> None:
        with self._database.transaction() as run:
            if run(_END, (domain.id,)).rowcount:
                self._append_event(domain.id, "cutover ended", why)
