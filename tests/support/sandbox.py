"""`sslctl sandbox up` as a process of its own, and commands that use it."""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from sslctl.app import App
from sslctl.cli.main import run
from tests.support.processes import with_default_signals

SSLCTL = [sys.executable, "-m", "sslctl"]


def environment(temporary: Path) -> dict[str, str]:
    """Return an environment without sslctl's variables, whose temporary files are in `temporary`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SSLCTL_")}
    return {**kept, "TMPDIR": str(temporary)}


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of the processes that mention `folder`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_text().replace("\0", " ")
        except OSError:
            continue
        if str(folder) in line:
            found.append(line)
    return found


class RunningSandbox:
    """A process of `sslctl sandbox up` that has started. `line` is the line on its standard output, `introduction` what follows.

    If `in_process` is set, commands run in this process and not in one of their own, which takes longer to start.
    """

    def __init__(self, process: subprocess.Popen[str], temporary: Path, line: str, introduction: str) -> None:
        self.process = process
        self.line = line
        self.introduction = introduction
        name, path = shlex.split(line)[1].split("=")
        self.environment = {**environment(temporary), name: path}
        self.folder = Path(path).parent
        self.in_process = False

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command that uses the sandbox."""
        if self.in_process:
            return self._run_in_process(list(arguments))
        return subprocess.run(
            [*SSLCTL, *arguments], env=self.environment, capture_output=True, text=True, check=False
        )

    def _run_in_process(self, arguments: list[str]) -> subprocess.CompletedProcess[str]:
        stdout, stderr = io.StringIO(), io.StringIO()
        umask = os.umask(0o077)  # as the program has it
        try:
            with pytest.MonkeyPatch.context() as patch, redirect_stdout(stdout), redirect_stderr(stderr):
                for key, value in self.environment.items():
                    patch.setenv(key, value)
                code = run(arguments, App(Path(self.environment["SSLCTL_CONFIG"])))
        finally:
            os.umask(umask)
        return subprocess.CompletedProcess(arguments, code, stdout.getvalue(), stderr.getvalue())

    def do(self, *arguments: str) -> None:
        """Run `sslctl sandbox` with `arguments`, which succeeds."""
        result = self.run("sandbox", *arguments)
        assert (result.returncode, result.stderr) == (0, "")

    def view(self, name: str) -> Any:
        """Return the JSON of `view` about `name`."""
        return json.loads(self.run("view", name, "--json").stdout)["domain"]

    def stop(self, *signals: int) -> str:
        """Send the signals, wait for the end, which is a success, and return what the process printed after its introduction."""
        for number in signals:
            self.process.send_signal(number)
        stdout, stderr = self.process.communicate(timeout=60)
        assert (stdout, self.process.returncode) == ("", 0), stderr
        return stderr


@contextmanager
def sandbox_up(temporary: Path, *options: str, command: Sequence[str] = SSLCTL) -> Iterator[RunningSandbox]:
    """Run `sslctl sandbox up` with `options` for the block, with its temporary files in `temporary`; `command` runs sslctl."""
    with subprocess.Popen(
        with_default_signals(*command, "sandbox", "up", *options),
        env=environment(temporary),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            assert line.startswith("export SSLCTL_CONFIG="), process.communicate()[1]
            assert process.stderr is not None
            lines = []
            for printed in iter(process.stderr.readline, ""):
                lines.append(printed)
                if "Ctrl-C stops the sandbox" in printed:
                    break
            yield RunningSandbox(process, temporary, line, "".join(lines))
        finally:
            if process.poll() is None:
                process.terminate()
