"""Observes sslctl processes: what they write, and what other users could see of them."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

_SSLCTL = (sys.executable, "-m", "sslctl")
_PAUSE_SECONDS = 0.02
_MOMENT_SECONDS = 0.002
_LONGEST_SECONDS = 120
_LARGEST = 1 << 23
_OTHERS = 0o077


@dataclass(slots=True)
class Observations:
    """Everything observed of all processes. `texts` has each text once, with the place where it was first seen.

    `sealed_keys` are the encrypted keys of orders; `left_keys` are those that the database still had after the order's end.
    """

    texts: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    processes: set[int] = field(default_factory=set)
    samples: int = 0
    files: set[Path] = field(default_factory=set)
    open_to_others: set[str] = field(default_factory=set)
    with_cores: set[str] = field(default_factory=set)
    sealed_keys: set[bytes] = field(default_factory=set)
    left_keys: set[bytes] = field(default_factory=set)

    def add(self, where: str, content: bytes) -> None:
        """Add a text that was seen at `where`."""
        self.texts.setdefault(sha256(content).hexdigest(), (where, content))

    def look_into(self, folder: Path) -> None:
        """Add the contents of the files below `folder`, and record which of them other users can access."""
        found = (Path(root) / name for root, names, files in os.walk(folder) for name in (*names, *files))
        for path in (folder, *found):
            # It may have been removed since.
            with suppress(OSError):
                if path.is_symlink():
                    continue
                if path.stat().st_mode & _OTHERS:
                    self.open_to_others.add(str(path))
                if path.is_file() and path.stat().st_size < _LARGEST:
                    self.files.add(path)
                    self.add(str(path), path.read_bytes())


class ProcessObserver:
    """Runs and observes sslctl with `environment`, its temporary files in `scratch` and its state in `state`."""

    def __init__(self, environment: Mapping[str, str], state: Path, scratch: Path) -> None:
        self.seen = Observations()
        self._environment = {**environment, "TMPDIR": str(scratch)}
        self._state = state
        self._scratch = scratch

    def run(
        self,
        *arguments: str,
        end_by: signal.Signals | None = None,
        once: Callable[[int], bool] = lambda _process: True,
        settings: Mapping[str, str] | None = None,
    ) -> int:
        """Run sslctl with more `settings` in its environment; return the exit code.

        With `end_by` that signal is sent to it and its children as soon as `once` is true for its process id.
        """
        process = subprocess.Popen(
            [*_SSLCTL, *arguments],
            env={**self._environment, **(settings or {})},
            cwd=self._scratch,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=_allow_cores,  # noqa: PLW1509 - it makes one system call
        )
        ended = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(process.pid, ended))
        watcher.start()
        try:
            if end_by is not None:
                self._end(process, end_by, once)
            output = process.communicate(timeout=_LONGEST_SECONDS)
        finally:
            process.kill()
            ended.set()
            watcher.join()
        for stream, content in zip(("output", "error"), output, strict=True):
            self.seen.add(f"the {stream} of {' '.join(arguments)}", content)
        self._look()
        self._look_for_left_keys()
        return process.returncode

    @staticmethod
    def _end(process: subprocess.Popen[bytes], end_by: signal.Signals, once: Callable[[int], bool]) -> None:
        while process.poll() is None and not once(process.pid):
            time.sleep(_MOMENT_SECONDS)
        # The children first: otherwise they end with their parent before they get the signal.
        for number in (*descendants(process.pid), process.pid):
            with suppress(ProcessLookupError):
                os.kill(number, end_by)

    def _watch(self, root: int, ended: threading.Event) -> None:
        while not ended.wait(_PAUSE_SECONDS):
            for number in (root, *descendants(root)):
                self._look_at(number, is_root=number == root)
            self._look()
            self.seen.samples += 1

    def _look_at(self, number: int, *, is_root: bool) -> None:
        with suppress(OSError):
            for part in ("cmdline", "environ"):
                self.seen.add(f"{part} of {number}", Path(f"/proc/{number}/{part}").read_bytes())
            self.seen.processes.add(number)
            # sslctl itself has no key yet while Python starts.
            if not is_root and not _is_without_cores(number):
                self.seen.with_cores.add(Path(f"/proc/{number}/cmdline").read_text().replace("\0", " "))

    def _look(self) -> None:
        for folder in (self._state, self._scratch):
            self.seen.look_into(folder)
        # Open orders hold keys that may be destroyed a moment later.
        with suppress(sqlite3.Error):
            self.seen.sealed_keys |= self._held_keys()

    def _look_for_left_keys(self) -> None:
        """Search the database's raw bytes between commands: later writes may overwrite what was left."""
        with suppress(sqlite3.Error):
            ended = self.seen.sealed_keys - self._held_keys()
            content = (self._state / "sslctl.db").read_bytes()
            self.seen.left_keys.update(key for key in ended if key in content)

    def _held_keys(self) -> set[bytes]:
        with closing(open_read_only(self._state / "sslctl.db")) as connection:
            rows = connection.execute("SELECT sealed_key FROM acme_order WHERE sealed_key IS NOT NULL")
            return {bytes(row[0]) for row in rows}


def open_read_only(database: Path) -> sqlite3.Connection:
    """Open a database read-only. Raise `sqlite3.Error` if that fails."""
    return sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=0)


def descendants(root: int) -> list[int]:
    """Return the ids of the processes below `root`, the nearest first."""
    children: dict[int, list[int]] = {}
    for number, parent in _parents():
        children.setdefault(parent, []).append(number)
    found = [root]
    for number in found:
        found += children.get(number, [])
    return found[1:]


def _parents() -> Iterator[tuple[int, int]]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # Field 4 of proc(5), after the command's closing bracket.
            yield int(path.parent.name), int(path.read_text().rpartition(")")[2].split()[1])


def _is_without_cores(number: int) -> bool:
    lines = Path(f"/proc/{number}/limits").read_text().splitlines()
    return any(line.startswith("Max core file size") and line.split()[4:6] == ["0", "0"] for line in lines)


def _allow_cores() -> None:
    most = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))
