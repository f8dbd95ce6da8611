"""Signals that a command handles itself while it works."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTS = (signal.SIGINT, signal.SIGTERM)
"""What Ctrl-C and the end of a service send."""


@contextmanager
def handling(
    handler: Callable[[int, FrameType | None], object], numbers: tuple[signal.Signals, ...] = INTERRUPTS
) -> Iterator[None]:
    """Let `handler` handle the signals `numbers` in the block; what handled them before does so again after it."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
