"""Transactions over several calls."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol


class Transactions(Protocol):
    """Transactions. Each writing method is atomic by itself; this makes several calls one."""

    def transaction(self) -> AbstractContextManager[object]:
        """Return a block whose writes are committed together at its end, or rolled back if it raises.

        Make no network calls inside the block.
        """
