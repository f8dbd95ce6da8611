"""Debian's PostgreSQL, which is not on the PATH."""

from __future__ import annotations

from pathlib import Path


def find_server() -> Path | None:
    """Return the program of the newest installed PostgreSQL server; None if there is none."""
    found = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    return max(found, key=lambda path: float(path.parts[-3]), default=None)
