"""Interactive shells on a terminal of their own, in which sslctl is a program on the `PATH`."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.cdn import Cdn
from tests.support.command_line import PATIENCE_SECONDS, environment

PROMPT = "READY> "
_STARTS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
}
_FIRST_LINES = {
    "bash": "bind 'set enable-bracketed-paste off'; bind 'set completion-query-items 0'; bind 'set page-completions off'",
    "zsh": "autoload -U compinit; compinit -D -u; unsetopt zle_bracketed_paste; zstyle ':completion:*' menu no; LISTMAX=9999",
}


def with_program(cdn: Cdn, **more: str) -> dict[str, str]:
    """Return the environment of a shell that finds sslctl on its `PATH` and uses the state of `cdn`."""
    folder = cdn.folder / "bin"
    folder.mkdir(exist_ok=True)
    program = folder / "sslctl"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m sslctl "$@"\n')
    program.chmod(0o755)
    home = cdn.folder / "home"
    home.mkdir(exist_ok=True)
    found = {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(Path.cwd()), "HOME": str(home)}
    return {**environment(cdn), **found, "PS1": PROMPT, "TERM": "dumb", **more}


class Shell:
    """An interactive bash or zsh that has loaded the script of `sslctl completion`; use as a context manager."""

    def __init__(self, name: str, cdn: Cdn, **more: str) -> None:
        self.screen = ""
        self._end, ours = pty.openpty()
        fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 60, 200, 0, 0))
        self._process = subprocess.Popen(
            _STARTS[name],
            env=with_program(cdn, **more),
            stdin=ours,
            stdout=ours,
            stderr=ours,
            start_new_session=True,
        )
        os.close(ours)
        self.type(f"{_FIRST_LINES[name]}; source <(sslctl completion {name}); echo loa''ded\n")
        self.await_text("loaded")
        self.await_text(PROMPT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._end)

    def type(self, text: str) -> None:
        """Type `text`, and forget what is on the screen."""
        self.screen = ""
        os.write(self._end, text.encode())

    def await_text(self, text: str) -> None:
        """Read until `text` is on the screen, and forget what is before it."""
        while text not in self.screen:
            ready, _, _ = select.select([self._end], [], [], PATIENCE_SECONDS)
            assert ready, f"no {text!r} in {self.screen!r}"
            self.screen += os.read(self._end, 65536).decode(errors="replace")
        self.screen = self.screen.partition(text)[2]
