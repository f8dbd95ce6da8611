"""PostgreSQL's programs: Debian's, which are not on the PATH, or those of another version."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

VARIABLE = "SSLCTL_TEST_POSTGRES_BIN"
"""Names the folder of the programs of the server to test with."""


def find_server() -> Path | None:
    """Return the program of the PostgreSQL server: that in the folder that `VARIABLE` names, or the newest installed one; None if there is none."""
    if named := os.environ.get(VARIABLE):
        return Path(named) / "postgres"
    found = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    return max(found, key=lambda path: float(path.parts[-3]), default=None)


def version_of(server: Path) -> int:
    """Return the major version of the program of a server."""
    said = subprocess.run([server, "--version"], cwd="/", check=True, capture_output=True, text=True).stdout
    found = re.search(r"\d+", said)
    assert found is not None, said
    return int(found[0])
