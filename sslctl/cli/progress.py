"""What goes on, on one line of a terminal's standard error; nothing where there is no terminal."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import click

from sslctl.model import Domain

_WIPE = "\r\x1b[K"
_USUAL_COLUMNS = 80


class Progress:
    """A line that says which domain is at which step, and how many are done of `total`."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._shown = sys.stderr.isatty()
        # Ctrl-C takes the line away too, in the thread that may be at it already.
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the line away."""
        self.clear()

    def step(self, domain: Domain, step: str) -> None:
        """Show that `domain` is at `step`. Called from any thread."""
        count = f"{self._done}/{self._total} done  " if self._total > 1 else ""
        self._write(f"{count}{domain.name}: {step} …")

    @contextmanager
    def done(self) -> Iterator[None]:
        """Count one domain more, and leave the terminal to the block, which writes its line of output."""
        with self._lock:
            self._done += 1
            self.clear()
            yield

    def clear(self) -> None:
        """Take the line away."""
        self._write("")

    def _write(self, text: str) -> None:
        if not self._shown:
            return
        with self._lock:
            click.echo(_WIPE + text[: _columns() - 1], err=True, nl=False)


def _columns() -> int:
    # Of standard error: shutil.get_terminal_size() would ask standard output, which may be a file.
    return os.get_terminal_size(sys.stderr.fileno()).columns or _USUAL_COLUMNS
