"""Tests that send SIGINT or SIGTERM must not depend on how the process that runs them was started."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.processes import with_default_signals

_PATIENCE_SECONDS = 20
# Ends by itself if the signal is ignored, so that nothing is left running.
_SLEEPER = (sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(2)")


@contextmanager
def _ignored(number: signal.Signals) -> Iterator[None]:
    """Ignore a signal, as the children of a background job of a shell do."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


def _exit_code_after(number: signal.Signals, command: list[str]) -> int:
    with (
        _ignored(number),
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        return process.wait(_PATIENCE_SECONDS)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_command_with_default_signals_ends_by_signal_that_test_runner_ignores(
    number: signal.Signals,
) -> None:
    assert _exit_code_after(number, with_default_signals(*_SLEEPER)) == -number


def test_command_without_default_signals_ignores_sigint_that_test_runner_ignores() -> None:
    assert _exit_code_after(signal.SIGINT, list(_SLEEPER)) == 0
