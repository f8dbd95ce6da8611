"""What the shared SQL asks of a database, whichever it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from sslctl.errors import Busy

T = TypeVar("T")
Values = Sequence[object] | Mapping[str, object]


class Row(Protocol):
    """One row of a result: its values in order, or by name."""

    def __iter__(self) -> Iterator[Any]:
        """Yield the values in the order of the columns."""

    def __getitem__(self, key: Any, /) -> Any:
        """Return the value of a column, by its name or its position from 0."""


class Cursor(Protocol):
    """The result of one statement."""

    @property
    def rowcount(self) -> int:
        """How many rows the statement changed."""

    def fetchone(self) -> Any:
        """Return the next row, None after the last one."""

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""


class Run(Protocol):
    """Runs one statement inside a transaction."""

    def __call__(self, sql: str, values: Values = (), /) -> Cursor:
        """Run `sql` with `values`: positional for `?`, by name for `:name`."""


class Connection(Protocol):
    """A database, used by all threads of the process."""

    def read(self, make: Callable[[Any], T], sql: str, values: Values = ()) -> list[T]:
        """Return what `make` reads out of each row of a query. Raise `StateError` if a row makes no sense to it."""

    def transaction(self) -> AbstractContextManager[Run]:
        """Return a block that runs in one transaction, committed at its end; within another one it is part of that."""


def expect(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - like `assert`
    """Raise `Busy` with the message `otherwise` unless the condition holds: another process was faster."""
    if not holds:
        raise Busy(otherwise, hint="look again, then try again")
