"""The last notifications that were to be delivered to people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from sslctl.rules.notice import Notice, NoticeKey


class Notices(Protocol):
    """The last notices, which decide what is news."""

    def notices(self) -> dict[NoticeKey, Notice]:
        """Return the last notice of each route and kind; those that were never sent are missing."""

    def record_notices(self, notices: Mapping[NoticeKey, Notice]) -> None:
        """Store `notices` in place of all earlier ones. An empty one is not stored."""
