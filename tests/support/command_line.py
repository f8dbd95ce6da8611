"""sslctl as a process, on a terminal of its own or with redirected streams."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.cdn import Cdn
from tests.support.processes import with_default_signals

PATIENCE_SECONDS = 20
# Variables that a test runner may set and that would change the output.
_STEERING = frozenset({"NO_COLOR", "SSLCTL_DEBUG", "COLUMNS", "LINES"})
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def command(*arguments: str) -> list[str]:
    """Return the command line of sslctl."""
    return [sys.executable, "-m", "sslctl", *arguments]


def environment(cdn: Cdn, **more: str) -> dict[str, str]:
    """Return the environment of a process that uses the state of `cdn`."""
    plain = {name: value for name, value in os.environ.items() if name not in _STEERING}
    return {**plain, "SSLCTL_CONFIG": str(cdn.config_path), "TERM": "xterm", **more}


def run(
    cdn: Cdn, *arguments: str, redirect: str = "", stdin: bytes = b"", **more: str
) -> subprocess.CompletedProcess[str]:
    """Run sslctl in a process; `redirect` is what a shell would do to its streams."""
    process = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirect}', "sh", *command(*arguments)],
        env=environment(cdn, **more),
        input=stdin,
        capture_output=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    return subprocess.CompletedProcess(
        arguments,
        process.returncode,
        *(output.decode(errors="backslashreplace") for output in (process.stdout, process.stderr)),
    )


class Terminal:
    """sslctl on its own terminal. `screen` is all output, escape sequences included."""

    def __init__(
        self, cdn: Cdn, *arguments: str, columns: int = 160, wrapper: Sequence[str] = (), **more: str
    ) -> None:
        self.screen = ""
        self._end, ours = pty.openpty()
        fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.process = subprocess.Popen(
            with_default_signals(*wrapper, *command(*arguments)),
            env=environment(cdn, **more),
            stdin=ours,
            stdout=ours,
            stderr=ours,
            start_new_session=True,
        )
        os.close(ours)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._end)

    def await_text(self, text: str) -> None:
        """Read until `text` is on the screen."""
        while text not in self.screen:
            assert self._read(), f"ended without {text!r}: {self.screen!r}"

    def await_question(self, text: str) -> None:
        """Read until `text` is on the screen and the process sleeps in its wait for an answer."""
        self.await_text(text)
        stat = Path(f"/proc/{self.process.pid}/stat")
        await_true(lambda: stat.read_text().rpartition(")")[2].split()[0] == "S")

    def type(self, text: str) -> None:
        """Type `text` on the terminal."""
        os.write(self._end, text.encode())

    def end(self) -> int:
        """Read to the end and return the exit code."""
        while self._read():
            pass
        return self.process.wait(timeout=PATIENCE_SECONDS)

    @property
    def lines(self) -> list[str]:
        """The screen without its escape sequences."""
        return _ESCAPES.sub("", self.screen).replace("\r\n", "\n").splitlines()

    def _read(self) -> bool:
        ready, _, _ = select.select([self._end], [], [], PATIENCE_SECONDS)
        assert ready, f"nothing more after {self.screen!r}"
        try:
            piece = os.read(self._end, 65536)
        except OSError:  # Linux says EIO when the other end is closed
            return False
        self.screen += piece.decode()
        return bool(piece)


def await_true(holds: Callable[[], bool]) -> None:
    """Wait until `holds`."""
    for _ in range(PATIENCE_SECONDS * 50):
        if holds():
            return
        time.sleep(0.02)
    raise AssertionError("waited in vain")
