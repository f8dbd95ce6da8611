"""A process that proves that it lives, as a program: `python -m tests.support.lock_holder FOLDER [fork]`.

It prints the id of its lock, its process id and its host name. With `fork` it also prints the process id of a child that
lives as long as nobody ends it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sslctl.system import process_lock

_ROOT = Path(__file__).parents[2]
_LIFETIME = 120
CONTAINER = (
    "unshare",
    "--user",
    "--map-root-user",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--uts",
)
"""A command prefix: another PID namespace and another host name, as in a container."""


def has_namespaces() -> bool:
    """Return whether this machine permits new namespaces."""
    try:
        return not subprocess.run([*CONTAINER, "true"], capture_output=True, check=False).returncode
    except OSError:
        return False


@contextmanager
def holder(
    folder: Path, *more: str, prefix: tuple[str, ...] = ()
) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Run the program of this module; yield the process and what it printed."""
    command = [*prefix, sys.executable, "-m", "tests.support.lock_holder", str(folder), *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_ROOT) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().split()
        finally:
            process.kill()


def in_container(name: str) -> tuple[str, ...]:
    """Return a command prefix that runs a program in another PID namespace, on a host called `name`."""
    return (*CONTAINER, "sh", "-c", f'hostname {name} && exec "$@"', "sh")


def fork_child() -> int:
    """Fork a child that lives for two minutes, wait until it runs, and return its process id."""
    here, there = os.pipe()
    child = os.fork()
    if not child:
        os.write(there, b".")
        for descriptor in (here, there, 1):
            os.close(descriptor)
        time.sleep(_LIFETIME)
        os._exit(0)
    os.close(there)
    os.read(here, 1)
    os.close(here)
    return child


def main(folder: Path, *, fork: bool) -> None:
    """Hold the lock, and print about it."""
    lock = process_lock.hold(folder)
    child = fork_child() if fork else 0
    print(lock.id, os.getpid(), socket.gethostname(), child, flush=True)
    time.sleep(_LIFETIME)


if __name__ == "__main__":
    main(Path(sys.argv[1]), fork="fork" in sys.argv)
