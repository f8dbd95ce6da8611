"""Rows as the shared SQL reads them (`sql.connection.Row`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, ClassVar

from psycopg import Cursor


class _Row(tuple[Any, ...]):
    """The values of a row in order; also by name."""

    __slots__ = ()
    positions: ClassVar[dict[str, int]]

    def __getitem__(self, key: Any, /) -> Any:
        return tuple.__getitem__(self, self.positions[key] if isinstance(key, str) else key)


@lru_cache(maxsize=1024)
def _row_class(names: tuple[str, ...]) -> type[_Row]:
    # Of two columns of one name the first counts, as in SQLite.
    positions = {name: place for place, name in reversed(list(enumerate(names)))}
    return type("Row", (_Row,), {"__slots__": (), "positions": positions})


def make_rows(cursor: Cursor[Any]) -> Callable[[Sequence[Any]], _Row]:
    """Return the function that makes a row of its values: a row factory of psycopg."""
    return _row_class(tuple(column.name for column in cursor.description or ()))
