"""The pool of certbot jobs: one fork server, which has certbot imported, and the processes that it forks.

To import certbot costs more than a whole order costs in a process that has it imported. The pool sends the fork server
(`fork_server`) one end of a socket pair for each process. The process (`job`) communicates with the pool over it only. One that is
free after its job gets the next one, if there is one soon: a fork costs as much as the order.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO, Any

from sslctl.system.limits import no_task
from sslctl.text import clean

# A job ends itself at its deadline. This covers a job that cannot, and the time until certbot is imported.
_GRACE_SECONDS = 30
_MOMENT_SECONDS = 0.2
# What the fork server answers to a request for a job.
FORKED, REFUSED = b"+", b"-"
_MAX_LINE_BYTES = 1000
# For how long a process without a job is used again, and is kept. Much shorter than it lives without one.
FREE_SECONDS = 2.0


class WorkerPool:
    """A pool of at most `count` jobs at a time. Safe for use by many threads.

    `environment` is that of the jobs. A job ends itself `deadline_seconds` after it started. If the system starts no further
    process, the pool goes on with as many jobs at a time as run then.
    """

    def __init__(self, count: int, *, environment: Mapping[str, str], deadline_seconds: float) -> None:
        self._most = count
        self._running = 0
        self._changed = threading.Condition()
        self._environment = environment
        self._deadline_seconds = deadline_seconds
        self._lock = threading.Lock()
        self._fork_server: _ForkServer | None = None
        # Those without a job, the last one that became free at the end. As `_fork_server`, only used with `_lock`.
        self._free: list[_Process] = []

    @contextmanager
    def job(self) -> Iterator[Channel]:
        """Yield the channel to a process for one job.

        Wait while `count` other jobs run. At the end of the block the channel is closed, which ends the process if it still runs,
        unless it is free for another job. Raise `OSError`; raise `MachineLimit` if the system does not even start a single process.
        """
        while True:
            self._enter()
            try:
                process = self._find_process()
                if process is not None:
                    yield from self._lend(process)
                    return
            finally:
                self._leave()
            self._reduce()

    def _lend(self, process: _Process) -> Iterator[Channel]:
        channel = process.channel(self._deadline_seconds)
        try:
            yield channel
        finally:
            with self._lock:
                if channel.is_free and process.server is self._fork_server:
                    process.rest()
                    self._free.append(process)
                else:
                    process.close()

    def warm_up(self) -> None:
        """Start the fork server unless it runs, and return without waiting until it has certbot imported.

        If it does not start, or ends, the first job starts it again and reports why.
        """
        # Whoever has the lock starts it too, or uses it.
        if self._lock.acquire(blocking=False):
            try:
                if self._fork_server is None:
                    self._fork_server = _ForkServer(self._environment)
            except OSError:
                pass
            finally:
                self._lock.release()

    def _enter(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._running < self._most)
            self._running += 1

    def _leave(self) -> None:
        with self._changed:
            self._running -= 1
            self._changed.notify()

    def _reduce(self) -> None:
        """Allow only as many jobs as run now. Raise `MachineLimit` if none does."""
        with self._changed:
            if not self._running:
                raise no_task()
            self._most = min(self._most, self._running)

    def _find_process(self) -> _Process | None:
        """Return a process that is free, or a new one; None if the system started none."""
        with self._lock:
            if self._fork_server is not None and not self._fork_server.is_alive:
                self._close()
            while self._free:
                process = self._free.pop()
                if process.is_usable:
                    return process
                process.close()
            try:
                if self._fork_server is None:
                    self._fork_server = _ForkServer(self._environment)
                return self._fork_server.fork()
            except BlockingIOError:
                return None

    def close(self) -> None:
        """End the fork server, and the processes without a job. Jobs that run end with their channels."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        while self._free:
            self._free.pop().close()
        if self._fork_server is not None:
            self._fork_server.close()
            self._fork_server = None


class _ForkServer:
    """The running fork server."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        self._reading = threading.Lock()
        self._error_line = ""
        # SEQPACKET keeps messages apart: one for each job.
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                # -P: whatever lies in the folder that sslctl is called from is not imported.
                [sys.executable, "-P", "-m", "sslctl.issuer.certbot.fork_server", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                env=environment,
                pass_fds=(theirs.fileno(),),
                # Ctrl-C reaches sslctl only, which lets its jobs finish.
                start_new_session=True,
            )

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def fork(self) -> _Process | None:
        """Return a new process; None if the system refused it."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = _Process(ours, self)
            # If the fork server has just ended, the channel is closed too, and its reader reports that.
            with suppress(BrokenPipeError, ConnectionResetError):
                socket.send_fds(self._control, [b"."], [theirs.fileno(), process.stderr.fileno()])
                if self._control.recv(1) == REFUSED:
                    process.close()
                    return None
        return process

    def last_error_line(self) -> str:
        """Return the last line that it wrote before it ended; empty while it runs."""
        with suppress(subprocess.TimeoutExpired):
            # Its sockets close a moment before the process ends.
            self._process.wait(_MOMENT_SECONDS)
            with self._reading:
                return self._error_line if self._stderr.closed else _last_line(self._stderr)
        return ""

    def close(self) -> None:
        self._control.close()
        # It has no files and no result to lose, and may be importing still. Jobs that run do not depend on it.
        self._process.kill()
        self._process.wait()
        with self._reading:
            self._error_line = _last_line(self._stderr)
            self._stderr.close()


class _Process:
    """A process that the fork server `server` has forked, at the other end of `connection`."""

    def __init__(self, connection: socket.socket, server: _ForkServer) -> None:
        self.stderr = os.fdopen(os.memfd_create("stderr"), "w+b")
        self.server = server
        self._connection = connection
        self._usable_until = 0.0

    def channel(self, seconds: float) -> Channel:
        """Return the channel for one job, which ends itself after `seconds`."""
        return Channel(self._connection, seconds, self._last_error_line)

    def _last_error_line(self) -> str:
        return _last_line(self.stderr) or self.server.last_error_line()

    def rest(self) -> None:
        """Note that the process has no job from now on. What it wrote is about no later job."""
        self._usable_until = time.monotonic() + FREE_SECONDS
        self.stderr.seek(0)
        self.stderr.truncate()

    @property
    def is_usable(self) -> bool:
        """Whether the process runs, and has not been without a job for long."""
        if time.monotonic() > self._usable_until:
            return False
        # As a new one: the channel before this one has set a timeout.
        self._connection.settimeout(None)
        try:
            self._connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            pass
        return False

    def close(self) -> None:
        """Close the connection, which ends the process if it still runs."""
        self._connection.close()
        self.stderr.close()


class Channel:
    """A connection to one job that carries lines of JSON. It ends when the job ends or its deadline passes.

    `is_free` is set by its user when the job has ended and its process waits for another one.

    `last_error_line` returns the last line that the job, or else the fork server, wrote to standard error; it is empty if
    the process was killed.
    """

    def __init__(self, connection: socket.socket, seconds: float, last_error_line: Callable[[], str]) -> None:
        self.last_error_line = last_error_line
        self.is_free = False
        self._connection = connection
        self._deadline = time.monotonic() + seconds + _GRACE_SECONDS
        self._rest = b""

    def send(self, message: object) -> None:
        """Send one message. A closed connection raises nothing here: the reader reports it."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._connection.sendall(json.dumps(message).encode() + b"\n")

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while True:
            line, found, rest = self._rest.partition(b"\n")
            if found:
                self._rest = rest
                yield json.loads(line)
                continue
            piece = self._receive()
            if not piece:
                return
            self._rest += piece

    def _receive(self) -> bytes:
        left = self._deadline - time.monotonic()
        if left <= 0:
            return b""
        self._connection.settimeout(left)
        try:
            return self._connection.recv(1 << 16)
        except (TimeoutError, ConnectionResetError):
            return b""


def _last_line(file: IO[bytes]) -> str:
    """Return the last line of `file` that is not empty, cleaned."""
    file.seek(max(0, file.seek(0, os.SEEK_END) - _MAX_LINE_BYTES))
    lines = file.read().decode(errors="replace").split("\n")
    return clean(next(filter(None, reversed(lines)), ""))
