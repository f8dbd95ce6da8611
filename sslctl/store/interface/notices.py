"""The last notification that was to be delivered to people."""

from __future__ import annotations

from typing import Protocol

from sslctl.rules.model import Notice


class Notices(Protocol):
    """The last notice, which decides what is news."""

    def last_notice(self) -> Notice:
        """Return the last notice; an empty one if there was none."""

    def record_notice(self, notice: Notice) -> None:
        """Store `notice` in place of the last one."""
