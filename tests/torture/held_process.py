"""sslctl in a process that waits, right before or after the n-th call of one method of its store, until its standard input is closed.

`python -m tests.torture.held_process METHOD before|after NUMBER ARGUMENT...`. It prints a line when it waits; the other threads go on.
"""

from __future__ import annotations

import os
import sys
from threading import Lock
from typing import Any

from sslctl.app import App
from sslctl.cli.main import run
from tests.support.dying_store import DyingStore


class _Hold:
    """Waits at its first call."""

    def __init__(self) -> None:
        self._is_over = False
        self._lock = Lock()

    def __call__(self) -> None:
        with self._lock:
            is_over, self._is_over = self._is_over, True
        if not is_over:
            os.write(1, b"held\n")
            os.read(0, 1)


def main() -> int:
    """Run the command with a store that holds one of its calls up; return the exit code."""
    method, when, number, *arguments = sys.argv[1:]
    os.umask(0o077)
    app = App(None)
    # Replaced before its first use, as the composition root would.
    store: Any = DyingStore(app.store, int(number), before=when == "before", methods={method}, kill=_Hold())
    app.store = store
    return run(arguments, app)


if __name__ == "__main__":
    sys.exit(main())
