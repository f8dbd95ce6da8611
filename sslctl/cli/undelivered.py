"""The last message that was to reach a person, for who looks here instead."""

from __future__ import annotations

from collections.abc import Iterator

from sslctl.rules.model import Notice
from sslctl.rules.singapore import moment


def lines(notice: Notice) -> Iterator[str]:
    """Give a line where the last message did not reach everyone."""
    if notice.missed_since is not None:
        since = moment(notice.missed_since)
        yield f"The last notice could not be delivered since {since}: {notice.why}"
