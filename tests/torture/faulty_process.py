"""Commands of sslctl in processes whose system calls fail, forked from one that has imported everything.

Python takes half a second to start, and there are a thousand processes.
"""

from __future__ import annotations

import ctypes
import io
import multiprocessing
import os
import resource
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path

from sslctl.app import App
from sslctl.cli import daemon_tick  # noqa: F401
from sslctl.cli.main import run
from sslctl.control_plane.c4 import client  # noqa: F401

# What commands import late; here it is imported before the fork.
from sslctl.fleet import ari_polling  # noqa: F401
from sslctl.store.sqlite import store  # noqa: F401
from tests.support.fakes import Clock
from tests.torture.persistent_ca import PersistentCa

_PATIENCE = 60.0
_SET_PTRACER, _ANY = 0x59616D61, -1  # prctl(2)


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """A fault that the kernel injects: the system calls `calls` on the files `paths` fail with `error`.

    The `first`-th of each thread fails, and with `all_later` every later one. `largest` is the limit of a file's size in
    bytes; None is no limit.
    """

    calls: str = ""
    error: str = ""
    first: int = 1
    all_later: bool = False
    paths: Sequence[Path] = ()
    largest: int | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and whether the fault was `injected` at all."""

    exit_code: int
    stderr: str
    injected: bool


def sslctl(config: Path, ca: Path, now: datetime, arguments: Sequence[str], fault: InjectedFault) -> Ended:
    """Run the command `arguments` at the time `now`, with the fake CA whose state is the file `ca`."""
    here, there = multiprocessing.Pipe()
    process = _processes().Process(target=_command, args=(there, config, ca, now, arguments, fault.largest))
    process.start()
    there.close()
    try:
        here.recv_bytes()
        with _traced(process.pid or 0, fault, ca.with_suffix(".strace")) as log:
            here.send_bytes(b"go")
            if not here.poll(_PATIENCE):
                raise TimeoutError(f"sslctl did not end within {_PATIENCE:g} seconds: {fault}")
            exit_code, stderr = here.recv()
            process.join(_PATIENCE)
        injected = fault.largest is not None or "(INJECTED)" in log.read_text()
        return Ended(exit_code, stderr, injected)
    finally:
        if process.is_alive():
            process.kill()
            process.join()
        here.close()


@cache
def _processes() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _command(
    go: Connection, config: Path, ca: Path, now: datetime, arguments: Sequence[str], largest: int | None
) -> None:
    # Some systems allow a process to trace only its children; this one allows any tracer.
    ctypes.CDLL(None).prctl(_SET_PTRACER, ctypes.c_ulong(_ANY), 0, 0, 0)
    go.send_bytes(b"ready")
    go.recv_bytes()
    os.umask(0o077)
    clock, stdout, stderr = Clock(now), io.StringIO(), io.StringIO()
    app = App(config, clock)
    app.issuers = {app.config.acme.directory_url: PersistentCa(ca, clock)}
    if largest is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    with redirect_stdout(stdout), redirect_stderr(stderr):
        code = run(list(arguments), app)
    go.send((int(code), stderr.getvalue()))


@contextmanager
def _traced(pid: int, fault: InjectedFault, log: Path) -> Iterator[Path]:
    log.write_text("")
    if not fault.calls:
        yield log
        return
    when = f"{fault.first}{'+' if fault.all_later else ''}"
    command = ["strace", "-f", "-o", str(log), "-p", str(pid)]
    for path in fault.paths:
        command += ["-P", str(path)]
    command += ["-e", f"inject={fault.calls}:error={fault.error}:when={when}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        try:
            assert strace.stderr is not None
            said = ""
            while "attached" not in said:
                line = strace.stderr.readline()
                if not line:
                    raise RuntimeError(f"strace could not attach: {said}")
                said += line
            yield log
        finally:
            strace.terminate()
            strace.communicate()
