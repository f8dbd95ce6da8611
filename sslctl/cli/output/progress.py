"""Progress on one line of standard error, if that is a terminal; on request on a line for each step, wherever it goes."""

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

from sslctl.cli.output.width import clip
from sslctl.rules.model import Domain
from sslctl.rules.singapore import format_duration

_WIPE = "\r\x1b[K"
_USUAL_COLUMNS = 80
_CELLS = 16
# Painting more often would cost more than it shows.
_PAINT_SECONDS = 0.1
_LOOK_BACK_SECONDS = 60
_SHORTEST_SECONDS = 1


class Pace:
    """The rate at which `total` passes end, over the last minute. Times are seconds of a monotonic clock."""

    def __init__(self, total: int, at: float) -> None:
        self.total = total
        self._done = 0
        # (time, number done), at least one second apart.
        self._marks = deque([(at, 0)])

    def count(self, at: float) -> None:
        """Count one more pass, which ended at `at`."""
        self._done += 1
        if at - self._marks[-1][0] >= 1:
            self._marks.append((at, self._done))
        while len(self._marks) > 1 and at - self._marks[1][0] > _LOOK_BACK_SECONDS:
            self._marks.popleft()

    @property
    def done(self) -> int:
        """The number of passes that have ended."""
        return self._done

    def rate(self, at: float) -> float | None:
        """Return the passes that end in one second; None while that is unknown."""
        since, before = self._marks[0]
        length = at - since
        if length < _SHORTEST_SECONDS or self._done == before:
            return None
        return (self._done - before) / length

    def left(self, at: float) -> timedelta | None:
        """Return the time until all have ended at this rate; None while that is unknown."""
        rate = self.rate(at)
        return None if rate is None else timedelta(seconds=(self.total - self._done) / rate)


class Progress:
    """A line with the number of passes done out of `total`, their rate, and the step of one domain.

    With `is_plain`, each step is a line of its own instead, on a terminal and elsewhere.
    """

    def __init__(self, total: int, *, is_plain: bool = False) -> None:
        self._pace = Pace(total, time.monotonic())
        self._is_plain = is_plain
        self._shown = not is_plain and _can_wipe()
        self._painted_at = 0.0
        self._cells = _cells_of(sys.stderr.encoding)
        # Ctrl-C clears the line too, in the thread that may already hold the lock.
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        """Return the progress itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clear the line."""
        self.clear()

    def step(self, domain: Domain, step: str) -> None:
        """Show that `domain` is at `step`. May be called from any thread."""
        if self._is_plain:
            with self._lock:
                click.echo(f"{domain.name}: {step}", err=True)
        if not self._shown:
            return
        with self._lock:
            now = time.monotonic()
            if now - self._painted_at >= _PAINT_SECONDS:
                self._painted_at = now
                self._write(f"{self._overall(now)}{step}: {domain.name} …")

    @property
    def total(self) -> int:
        """How many passes there are."""
        return self._pace.total

    @total.setter
    def total(self, number: int) -> None:
        self._pace.total = number

    @contextmanager
    def done(self) -> Iterator[None]:
        """Count one more pass, and clear the line while the block prints its output."""
        with self._lock:
            self._pace.count(time.monotonic())
            self.clear()
            yield

    def clear(self) -> None:
        """Clear the line."""
        if self._shown:
            with self._lock:
                self._painted_at = 0.0
                self._write("")

    def _overall(self, now: float) -> str:
        if self.total == 1:
            return ""
        done, rate, left = self._pace.done, self._pace.rate(now), self._pace.left(now)
        parts = [f"{done:,}/{self.total:,} done"]
        if rate is not None and left is not None:
            parts += [_pace_of(rate), f"{format_duration(left)} left"]
        text = ", ".join(parts) + "  "
        if _columns() < _USUAL_COLUMNS:
            return text
        full = _CELLS * done // self.total
        return f"{self._cells[0] * full}{self._cells[1] * (_CELLS - full)}  {text}"

    def _write(self, text: str) -> None:
        click.echo(_WIPE + clip(text, _columns() - 1), err=True, nl=False)


class StepLine:
    """A line with what is being done, if standard error is a terminal."""

    def __init__(self) -> None:
        self._shown = _can_wipe()

    def __enter__(self) -> Self:
        """Return the line itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clear the line."""
        self._write("")

    def show(self, step: str) -> None:
        """Show that `step` is being done."""
        self._write(f"{step} …")

    def _write(self, text: str) -> None:
        if self._shown:
            click.echo(_WIPE + clip(text, _columns() - 1), err=True, nl=False)


def print_notice(message: str) -> None:
    """Print `message` on a line of its own on standard error, in place of a line of progress. May be called from any thread."""
    click.echo(f"{_WIPE if _can_wipe() else ''}sslctl: {message}", err=True)


def _can_wipe() -> bool:
    """Return whether a line on standard error can be written again."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _pace_of(rate: float) -> str:
    return f"{rate:.1f}/s" if rate >= 1 else f"{rate * 60:.1f}/min"


def _cells_of(encoding: str | None) -> str:
    """Return the characters of the bar, done and to do: blocks if the encoding has them."""
    try:
        "█░".encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return "#-"
    return "█░"


def _columns() -> int:
    # shutil.get_terminal_size() would ask standard output, which may be a file.
    return os.get_terminal_size(sys.stderr.fileno()).columns or _USUAL_COLUMNS
