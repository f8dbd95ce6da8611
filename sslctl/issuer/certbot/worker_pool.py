"""Warm certbot: one process that has certbot imported, and a forked child of it for each job.

Importing certbot costs more than a whole order does in a process that has it already. The warm process
(`issuer.warm`) is told of a job by one end of a socket pair, forks, and the child talks to us over it alone.
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

from sslctl.text import clean

# A child ends itself at its deadline; this is for one that cannot, and for the time until certbot is imported.
_GRACE_SECONDS = 30
_END_SECONDS = 5
_MOMENT_SECONDS = 0.2
_MAX_LINE_BYTES = 1000


class WorkerPool:
    """At most `count` children at a time. Safe for use by many threads.

    `environment` is that of the children, which end by themselves `deadline_seconds` after they got their job.
    """

    def __init__(self, count: int, *, environment: Mapping[str, str], deadline_seconds: float) -> None:
        self._slots = threading.BoundedSemaphore(count)
        self._environment = environment
        self._deadline_seconds = deadline_seconds
        self._lock = threading.Lock()
        self._fork_server: _ForkServer | None = None

    @contextmanager
    def job(self, stderr: IO[bytes]) -> Iterator[Channel]:
        """Give the channel to a new child, which writes what it has to complain of to `stderr`.

        Waits while `count` others are at work. A child that is still there at the end of the block loses its channel,
        and so ends. Raises `OSError`.
        """
        with self._slots:
            ours, theirs = socket.socketpair()
            with ours:
                with theirs:
                    server = self._hand_over(theirs, stderr)
                yield Channel(
                    ours, self._deadline_seconds, lambda: _last_line(stderr) or server.last_error_line()
                )

    def _hand_over(self, connection: socket.socket, stderr: IO[bytes]) -> _ForkServer:
        with self._lock:
            if self._fork_server is not None and not self._fork_server.is_alive:
                self._fork_server.close()
                self._fork_server = None
            if self._fork_server is None:
                self._fork_server = _ForkServer(self._environment)
            self._fork_server.fork(connection, stderr)
            return self._fork_server

    def close(self) -> None:
        """End the warm process; children that are at work are left to their channels."""
        with self._lock:
            if self._fork_server is not None:
                self._fork_server.close()
                self._fork_server = None


class _ForkServer:
    """The running warm process."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        self._reading = threading.Lock()
        self._error_line = ""
        # One message for each job, which an ordinary stream would not keep apart.
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
                # Ctrl-C reaches sslctl alone, which lets its children finish.
                start_new_session=True,
            )

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def fork(self, connection: socket.socket, stderr: IO[bytes]) -> None:
        # Where it ended a moment ago, the channel is at its end too, which tells.
        with suppress(BrokenPipeError, ConnectionResetError):
            socket.send_fds(self._control, [b"."], [connection.fileno(), stderr.fileno()])

    def last_error_line(self) -> str:
        """Give the last line that it wrote before it ended; empty while it is alive."""
        with suppress(subprocess.TimeoutExpired):
            # Its sockets close a moment before it is gone.
            self._process.wait(_MOMENT_SECONDS)
            with self._reading:
                return self._error_line if self._stderr.closed else _last_line(self._stderr)
        return ""

    def close(self) -> None:
        self._control.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with self._reading:
            self._error_line = _last_line(self._stderr)
            self._stderr.close()


class Channel:
    """The conversation with one child, in lines of JSON. It ends at the child's end, or when it takes too long.

    `last_error_line` gives what the child, or the process that was to fork it, complained of last; empty where it was killed.
    """

    def __init__(self, connection: socket.socket, seconds: float, last_error_line: Callable[[], str]) -> None:
        self.last_error_line = last_error_line
        self._connection = connection
        self._deadline = time.monotonic() + seconds + _GRACE_SECONDS
        self._rest = b""

    def send(self, message: object) -> None:
        """Send one message."""
        # Its answer, or the lack of one, tells why it cannot hear.
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
    """Give the last line of `file` that is not empty, cleaned."""
    file.seek(max(0, file.seek(0, os.SEEK_END) - _MAX_LINE_BYTES))
    lines = file.read().decode(errors="replace").split("\n")
    return clean(next(filter(None, reversed(lines)), ""))
