"""The section `[history]`: how long history stays in the database."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sslctl.config import values as read
from sslctl.rules.history_seal import LEAST_KEEP_DAYS

MOST_KEEP_DAYS = 36500
"""The largest number of days: a hundred years."""


@dataclass(frozen=True, slots=True)
class HistorySection:
    """`sslctl history prune` moves history older than `keep_days` into files in `archive_dir`; 0 keeps it for ever.

    Without `archive_dir` they are in the folder `archive` in `state.dir`.
    """

    keep_days: int = 0
    archive_dir: Path | None = None


def _keep_days(value: object) -> int:
    """Read a number of days; 0 for ever."""
    try:
        return read.integer(0, 0)(value)
    except ValueError:
        pass
    try:
        return read.integer(LEAST_KEEP_DAYS, MOST_KEEP_DAYS)(value)
    except ValueError:
        raise ValueError(
            f"must be 0, for ever, or an integer from {LEAST_KEEP_DAYS} to {MOST_KEEP_DAYS}; renewals and charts need the"
            f" orders of the last {LEAST_KEEP_DAYS} days at most"
        ) from None


READ: Mapping[str, Callable[[object], object]] = {
    "keep_days": _keep_days,
    "archive_dir": read.optional_path,
}
"""The reader of each key."""
