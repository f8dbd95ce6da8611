"""The file in `state.dir` with what `daemon-tick -q` has printed (`rules.reported`).

It is a file and no part of the database: a locked or damaged database is trouble that is printed too, and what was mailed stays
mailed after a restore. If it cannot be read or written, more is printed, never less.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sslctl.rules.reported import Kind, Printed
from sslctl.system.files import read_regular, replacing
from sslctl.text import instant

_NAME = "reported.json"
_VERSION = 1
# Of 100,000 domains it has some 15 MB.
_LARGEST = 100_000_000


def read_printed(folder: Path) -> dict[str, Printed]:
    """Return what was printed of each subject; nothing if the file in `folder` cannot be read, or is of another version."""
    try:
        content, _ = read_regular(folder / _NAME, _LARGEST)
        found = json.loads(content)
        if found["version"] != _VERSION:
            return {}
        return {subject: _parse(one) for subject, one in found["subjects"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def write_printed(folder: Path, printed: Mapping[str, Printed]) -> None:
    """Write what was printed, atomically. Do nothing if that is impossible, or if `folder` belongs to another user."""
    text = json.dumps(
        {"version": _VERSION, "subjects": {subject: _format(one) for subject, one in printed.items()}}
    )
    try:
        if folder.stat().st_uid != os.geteuid():
            # The user to whom the state belongs could not read it.
            return
        with replacing(folder / _NAME) as file:
            file.write(text.encode())
    except OSError:
        return


def _parse(found: Any) -> Printed:
    states = {str(state): _time(at) for state, at in found["states"].items()}
    gone = found["gone_since"]
    return Printed(Kind(found["kind"]), states, None if gone is None else _time(gone))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _format(printed: Printed) -> dict[str, object]:
    return {
        "kind": printed.kind,
        "states": {state: instant(at) for state, at in printed.states.items()},
        "gone_since": None if printed.gone_since is None else instant(printed.gone_since),
    }
