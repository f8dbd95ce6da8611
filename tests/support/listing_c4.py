"""A C4 in memory whose list of domains is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from sslctl.control_plane import Record, Unanswered
from tests.support.fake_c4 import FakeC4


class ListingC4(FakeC4):
    """A C4 whose list lacks the domains in `lacking`, and ends with `error` after `ends_after` domains. `lists` counts its lists."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        super().__init__(clock)
        self.lacking: Sequence[str] = ()
        self.ends_after: int | None = None
        self.error: Exception = Unanswered("answered 500")
        self.lists = 0

    def inventory(self) -> Iterator[Record]:
        """See `ControlPlane.inventory`."""
        self.lists += 1
        for number, record in enumerate(super().inventory()):
            if number == self.ends_after:
                raise self.error
            if record.name not in self.lacking:
                yield record
