"""sslctl in a process that kills itself right before or right after the n-th call of one method of its store.

`python -m tests.torture.dying METHOD before|after NUMBER ARGUMENT...`; for `transaction` it is the commit at the end of the block.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from sslctl.app import App
from sslctl.cli.main import run


class DyingStore:
    """The real store, until its process is killed."""

    def __init__(self, store: Any, method: str, number: int, *, before: bool) -> None:
        self._store = store
        self._method = method
        self._number = number
        self._before = before
        # The passes are threads, and to take the next number is one step.
        self._calls = count(1)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name != self._method:
            return method

        def call(*arguments: Any, **options: Any) -> Any:
            is_fatal = next(self._calls) == self._number
            if is_fatal and self._before:
                os.kill(os.getpid(), signal.SIGKILL)
            result = method(*arguments, **options)
            if is_fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._store.transaction():
            yield
        if self._method == "transaction" and next(self._calls) == self._number:
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> int:
    """Run the command with a store that kills."""
    method, when, number, *arguments = sys.argv[1:]
    os.umask(0o077)
    app = App(None)
    # Put in before it is first asked for, as the composition root would.
    store: Any = DyingStore(app.store, method, int(number), before=when == "before")
    app.store = store
    return run(arguments, app)


if __name__ == "__main__":
    sys.exit(main())
