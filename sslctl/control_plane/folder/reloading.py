"""The command that makes the edge load its files again."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections.abc import Sequence

from sslctl.control_plane import Rejected, Unanswered
from sslctl.text import clean

_MOST_OUTPUT = 4096
_MOST_SHOWN = 300


class Reload:
    """Runs the command `argv`, without a shell, for at most `seconds`. An empty command is a server that watches its files.

    Of several threads that wait, one reload serves all that changed their files before it began.
    """

    def __init__(self, argv: Sequence[str], seconds: float) -> None:
        self._argv = list(argv)
        self._seconds = seconds
        self._running = threading.Lock()
        self._counting = threading.Lock()
        self._changes = 0
        self._loaded = 0

    def __call__(self) -> None:
        """Make the edge load what was changed before this call. Raise `Rejected` if it refused, `Unanswered` if it took too long."""
        with self._counting:
            self._changes += 1
            change = self._changes
        with self._running:
            if self._loaded >= change:
                return
            with self._counting:
                begun = self._changes
            self._run()
            self._loaded = begun

    def _run(self) -> None:
        if not self._argv:
            return
        # A file, because a daemon that the command starts may keep a pipe open for ever.
        with tempfile.TemporaryFile() as output:
            try:
                ended = subprocess.run(
                    self._argv,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=self._seconds,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise Unanswered(f"the reload command did not end within {self._seconds:g} seconds") from None
            except OSError as error:
                raise Rejected(
                    f"the reload command cannot be run: {clean(error.strerror)}", "reload"
                ) from error
            if ended.returncode == 0:
                return
            size = output.seek(0, 2)
            output.seek(max(0, size - _MOST_OUTPUT))
            lines = output.read().decode("utf-8", "replace").strip().splitlines()
        printed = clean(" ".join(lines[-3:]), _MOST_SHOWN) or "nothing"
        raise Rejected(f"the reload command ended with {ended.returncode}; it printed: {printed}", "reload")
