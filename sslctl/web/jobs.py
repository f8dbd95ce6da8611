"""Commands that the page runs in processes of their own, so that they outlive a request, and the page itself."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

from sslctl.errors import Problem, TryLater
from sslctl.text import clean

_MOST_KEPT = 200
_MOST_SHOWN = 64 * 1024
_LONGEST_LINE = 2000


@dataclass(frozen=True, slots=True)
class Job:
    """A command that was started: `action` is its name, `domains` are those that it was started for."""

    id: str
    action: str
    domains: tuple[str, ...]
    person: str
    started_at: datetime
    process: subprocess.Popen[bytes]
    errors: IO[bytes]

    @property
    def exit_code(self) -> int | None:
        """The exit code; None while it runs. A process that a signal ended has the negative number of the signal."""
        return self.process.poll()

    def lines(self) -> list[str]:
        """Return the steps, notes and errors that it has printed so far, cleaned, the last ones if there are many."""
        if self.errors.closed:
            return []  # the job was forgotten meanwhile
        # The process writes through the same file, so its position must not move.
        size = os.fstat(self.errors.fileno()).st_size
        text = os.pread(self.errors.fileno(), _MOST_SHOWN, max(0, size - _MOST_SHOWN))
        return [clean(line, _LONGEST_LINE) for line in text.decode(errors="replace").splitlines()]


def _environment() -> dict[str, str]:
    """Return the environment of a job: without what systemd gave to the server, and without tracebacks for readers of the page."""
    left_out = ("NOTIFY_SOCKET", "LISTEN_", "SSLCTL_DEBUG", "WATCHDOG_")
    return {name: value for name, value in os.environ.items() if not name.startswith(left_out)}


class Jobs:
    """The jobs of one server, the last 200 of them. They may be started and read from any thread.

    A job that runs when the server ends goes on: what it does is safe at any moment, and its results are in the state.
    """

    def __init__(
        self,
        config_path: Path | None,
        clock: Callable[[], datetime],
        *,
        most_running: int = 8,
        most_of_person: int = 4,
    ) -> None:
        self._most_running = most_running
        self._most_of_person = most_of_person
        self._config_path = config_path
        self._clock = clock
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def start(
        self,
        action: str,
        domains: Sequence[str],
        *options: str,
        person: str,
        lines: Sequence[str] | None = None,
    ) -> Job:
        """Start the command `action` with `options` for `domains`, on behalf of `person`, and return the job.

        With `lines`, the command reads the domains from these, as from a file. A running job of the
        same command for the same domains is returned instead. Raise `TryLater` if `most_running` jobs run, or `most_of_person` of `person`.
        """
        with self._lock:
            running = self._running()
            same = [job for job in running if (job.action, job.domains) == (action, tuple(domains))]
            if same:
                # Somebody pressed the button twice.
                return same[0]
            own = sum(job.person == person for job in running)
            if len(running) >= self._most_running or own >= self._most_of_person:
                raise TryLater(
                    f"{len(running)} jobs of the page are running, {own} of them yours, so no other one was started",
                    hint="wait until one of them has ended",
                    problem=Problem("jobs.many", {"number": len(running), "own": own}),
                )
            job = self._start(action, domains, options, person, lines)
            self._jobs[job.id] = job
            self._forget_oldest()
        return job

    def find(self, job_id: str) -> Job | None:
        """Return the job with the id `job_id`, None if there is none, or it was forgotten."""
        with self._lock:
            return self._jobs.get(job_id)

    def running_for(self, domain: str) -> Job | None:
        """Return the job that works on `domain`, None if there is none."""
        with self._lock:
            jobs = [job for job in self._jobs.values() if domain in job.domains and job.exit_code is None]
        return jobs[-1] if jobs else None

    def running(self) -> list[Job]:
        """Return the jobs that run."""
        with self._lock:
            return self._running()

    def _running(self) -> list[Job]:
        return [job for job in self._jobs.values() if job.exit_code is None]

    def close(self) -> None:
        """Forget all jobs; those that run go on."""
        with self._lock:
            for job in self._jobs.values():
                job.errors.close()
            self._jobs.clear()

    def _start(
        self,
        action: str,
        domains: Sequence[str],
        options: Sequence[str],
        person: str,
        lines: Sequence[str] | None,
    ) -> Job:
        config = [] if self._config_path is None else ["--config", str(self._config_path.absolute())]
        names = ["--", *domains] if lines is None else ["--from-file", "-"]
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the job is shown
        with tempfile.TemporaryFile() as listing:
            listing.write("".join(f"{line}\n" for line in lines or ()).encode())
            listing.seek(0)
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "sslctl", *config, "--progress", "plain", "--page-person", person,
                 action, *options, *names],
                env=_environment(),
                stdin=listing,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                # Ctrl-C in the terminal of the server is not meant for it.
                start_new_session=True,
            )  # fmt: skip
        job_id = secrets.token_urlsafe(12)
        return Job(job_id, action, tuple(domains), person, self._clock(), process, errors)

    def _forget_oldest(self) -> None:
        ended = [job for job in self._jobs.values() if job.exit_code is not None]
        for job in ended[: max(0, len(self._jobs) - _MOST_KEPT)]:
            job.errors.close()
            del self._jobs[job.id]
