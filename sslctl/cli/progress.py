"""What goes on, on one line of a terminal's standard error; nothing where there is no terminal."""

from __future__ import annotations

import shutil
import sys
import threading
from types import TracebackType
from typing import Self

import click

from sslctl.model import Domain

_WIPE = "\r\x1b[K"


class Progress:
    """A line that says which domain is at which step, and how many are done of `total`."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._shown = sys.stderr.isatty()
        self._lock = threading.Lock()

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

    def done(self) -> None:
        """Count one domain more, and make room for its line of output."""
        with self._lock:
            self._done += 1
        self.clear()

    def clear(self) -> None:
        """Take the line away."""
        self._write("")

    def _write(self, text: str) -> None:
        if not self._shown:
            return
        with self._lock:
            click.echo(_WIPE + text[: shutil.get_terminal_size().columns - 1], err=True, nl=False)
