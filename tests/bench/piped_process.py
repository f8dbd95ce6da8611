"""A module of the bench that runs as a process of its own, and ends when its standard input does."""

from __future__ import annotations

import subprocess
from types import TracebackType
from typing import IO, Self

from tests.support import module_command


class PipedProcess:
    """The process of a `module`, in a session of its own so that Ctrl-C ends it last; a context manager."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._process: subprocess.Popen[str]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            module_command(self._module),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stdin.close()
        self._process.wait()
        self._stdout.close()

    @property
    def _stdin(self) -> IO[str]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _stdout(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout

    def ask(self, line: str) -> str:
        """Send a line and return the line that answers it. Raise `RuntimeError` if the process has ended."""
        print(line, file=self._stdin, flush=True)
        answer = self._stdout.readline().strip()
        if not answer:
            raise RuntimeError(f"{self._module} ended; see above")
        return answer
