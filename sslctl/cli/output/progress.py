"""What goes on, on one line of a terminal's standard error; nothing where there is no terminal."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import TracebackType
from typing import Self

import click

from sslctl.rules.model import Domain
from sslctl.rules.singapore import format_duration

_WIPE = "\r\x1b[K"
_USUAL_COLUMNS = 80
_CELLS = 16
# More often would cost more than it shows.
_PAINT_SECONDS = 0.1
_LOOK_BACK_SECONDS = 60
_SHORTEST_SECONDS = 1


class Pace:
    """How fast `total` things end, over the last minute. Times are in seconds, of any clock that only goes forward."""

    def __init__(self, total: int, at: float) -> None:
        self._total = total
        self._done = 0
        # When how many were done, a second apart.
        self._marks = deque([(at, 0)])

    def count(self, at: float) -> None:
        """One more ended at `at`."""
        self._done += 1
        if at - self._marks[-1][0] >= 1:
            self._marks.append((at, self._done))
        while len(self._marks) > 1 and at - self._marks[1][0] > _LOOK_BACK_SECONDS:
            self._marks.popleft()

    @property
    def done(self) -> int:
        """How many have ended."""
        return self._done

    def rate(self, at: float) -> float | None:
        """Give how many end in a second; None while that cannot be told."""
        since, before = self._marks[0]
        length = at - since
        if length < _SHORTEST_SECONDS or self._done == before:
            return None
        return (self._done - before) / length

    def left(self, at: float) -> timedelta | None:
        """Give the time until all have ended, at this rate; None while that cannot be told."""
        rate = self.rate(at)
        return None if rate is None else timedelta(seconds=(self._total - self._done) / rate)


class Progress:
    """A line that says how many are done of `total`, how fast, and which domain is at which step."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._pace = Pace(total, time.monotonic())
        self._shown = sys.stderr.isatty()
        self._painted_at = 0.0
        self._cells = _cells_of(sys.stderr.encoding)
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
        if not self._shown:
            return
        with self._lock:
            now = time.monotonic()
            if now - self._painted_at >= _PAINT_SECONDS:
                self._painted_at = now
                self._write(f"{self._overall(now)}{step}: {domain.name} …")

    @contextmanager
    def done(self) -> Iterator[None]:
        """Count one domain more, and leave the terminal to the block, which writes its line of output."""
        with self._lock:
            self._pace.count(time.monotonic())
            self.clear()
            yield

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            with self._lock:
                self._painted_at = 0.0
                self._write("")

    def _overall(self, now: float) -> str:
        if self._total == 1:
            return ""
        done, rate, left = self._pace.done, self._pace.rate(now), self._pace.left(now)
        parts = [f"{done:,}/{self._total:,} done"]
        if rate is not None and left is not None:
            parts += [_pace_of(rate), f"{format_duration(left)} left"]
        text = ", ".join(parts) + "  "
        if _columns() < _USUAL_COLUMNS:
            return text
        full = _CELLS * done // self._total
        return f"{self._cells[0] * full}{self._cells[1] * (_CELLS - full)}  {text}"

    def _write(self, text: str) -> None:
        click.echo(_WIPE + text[: _columns() - 1], err=True, nl=False)


def _pace_of(rate: float) -> str:
    return f"{rate:.1f}/s" if rate >= 1 else f"{rate * 60:.1f}/min"


def _cells_of(encoding: str | None) -> str:
    """Give what a bar is drawn with, done and to do: blocks where the encoding has them."""
    try:
        "█░".encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return "#-"
    return "█░"


def _columns() -> int:
    # Of standard error: shutil.get_terminal_size() would ask standard output, which may be a file.
    return os.get_terminal_size(sys.stderr.fileno()).columns or _USUAL_COLUMNS
