"""sslctl in a process that kills itself right before or right after the n-th call of one method of its store.

`python -m tests.torture.dying_process METHOD before|after NUMBER ARGUMENT...`; the call of `transaction` is its commit.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any, NoReturn

from sslctl.app import App
from sslctl.cli.main import run
from tests.support.dying_store import DyingStore


def _kill() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive after SIGKILL")


def main() -> int:
    """Run the command with a store that kills its process; return the exit code."""
    method, when, number, *arguments = sys.argv[1:]
    os.umask(0o077)
    app = App(None)
    # Replaced before its first use, as the composition root would.
    store: Any = DyingStore(app.store, int(number), before=when == "before", methods={method}, kill=_kill)
    app.store = store
    return run(arguments, app)


if __name__ == "__main__":
    sys.exit(main())
