"""What the shared SQL needs of a database: `Connection`, and `Dialect` for what databases spell differently."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import IntEnum
from typing import Any, Protocol, TypeVar

from sslctl.errors import Busy, Problem

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
    """A function that runs one statement inside a transaction."""

    def __call__(self, sql: str, values: Values = (), /) -> Cursor:
        """Run `sql` with `values`: positional for `?`, by name for `:name`."""


class Dialect(Protocol):
    """The few expressions that databases spell differently; all other SQL in this package is common to them."""

    def texts(self, parameter: str) -> str:
        """Return a table whose column `value` has the elements of `parameter`, a JSON array of strings."""

    def integers(self, parameter: str) -> str:
        """Return a table whose column `value` has the elements of `parameter`, a JSON array of integers."""

    def index_hint(self, index: str) -> str:
        """Return what follows a table's name to have it read through `index` alone; it may be empty."""

    def no_index_hint(self) -> str:
        """Return what follows a table's name to have it read whole and in its own order; it may be empty."""

    def serves(self, certificate: str) -> str:
        """Return the condition that the row of `domain` is the one that serves the row of the certificate table named `certificate`."""

    def json_array(self, columns: str) -> str:
        """Return the text of a JSON array of `columns`, separated by commas: strings, integers and nulls."""

    def days_of(self, time: str) -> str:
        """Return the stored time `time` as a number of days, to compute with."""

    def for_update(self) -> str:
        """Return what follows a query of a row to keep others from changing it until the transaction ends; it may be empty."""


class Serial(IntEnum):
    """What one transaction does at a time. The numbers are the same in every process."""

    CREATION = 1
    CLAIMS = 2
    BUDGET = 3
    HISTORY = 4
    ACCOUNT = 5
    ENCRYPTION = 6


class Connection(Protocol):
    """A database, used by all threads of the process."""

    @property
    def dialect(self) -> Dialect:
        """How this database spells what is not common SQL."""

    def read(self, make: Callable[[Any], T], sql: str, values: Values = ()) -> list[T]:
        """Return the result of `make` for each row of a query. Raise `StateError` if it cannot read a row."""

    def transaction(self) -> AbstractContextManager[Run]:
        """Return a block that runs in one transaction, committed at its end. A nested block is part of the outer one."""

    def serialise(self, what: Serial) -> None:
        """Wait until no other transaction does `what`; none does until the open transaction ends."""

    def share(self, what: Serial) -> None:
        """Keep transactions that `serialise` `what` waiting until the open one ends. Any number of transactions may share it."""

    def at_commit(self, work: Callable[[Run], object]) -> None:
        """Run `work` in the open transaction: at once, or as its last part, after everything that may wait for others."""


def expect(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - like `assert`
    """Raise `Busy` with the message `otherwise` unless the condition `holds`: another process was faster."""
    if not holds:
        raise Busy(otherwise, hint="look again, then try again", problem=Problem("state.changed"))
