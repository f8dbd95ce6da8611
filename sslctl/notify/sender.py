"""The `Notifier` that uses apprise, in a child process (`notify.child`) that is killed after a time limit."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict

from sslctl.notify import Message, Undelivered, fail_all
from sslctl.notify.urls import scheme_of
from sslctl.system.extras import missing_package
from sslctl.system.limits import explain
from sslctl.text import clean

SECONDS = 30.0
"""The time limit for one message, to all URLs together."""


class AppriseNotifier:
    """A `Notifier` for the apprise `urls`. Raise `ConfigError` if apprise is not installed.

    apprise is not imported here: its hundred services take longer to load than a tick with nothing to do.
    """

    def __init__(self, urls: Sequence[str], seconds: float = SECONDS) -> None:
        if importlib.util.find_spec("apprise") is None:
            raise missing_package("notify", "the URLs of notify need", "apprise")
        self._urls = tuple(urls)
        self._seconds = seconds
        self.schemes = tuple(map(scheme_of, urls))

    def send(self, message: Message, positions: Collection[int]) -> list[Undelivered]:
        """See `Notifier.send`."""
        urls = {number: url for number, url in enumerate(self._urls, 1) if number in positions}
        if not urls:
            return []
        try:
            results = dict(_results(self._run(json.dumps({"urls": urls, **asdict(message)}))))
        except (OSError, MemoryError, RuntimeError) as error:
            limit = explain(error)
            why = limit.message if limit else type(error).__name__
            return fail_all(self.schemes, urls, f"got no message: {why}")
        late = f"did not take the message within {self._seconds:g} seconds"
        return [
            Undelivered(number, self.schemes[number - 1], why)
            for number in urls
            if (why := results.get(number, late))
        ]

    def _run(self, request: str) -> str:
        """Return what the child process wrote, complete or not. The URLs go through a pipe: any user can read arguments."""
        child = subprocess.Popen(
            # -P: whatever lies in the folder that sslctl is called from is not imported.
            [sys.executable, "-P", "-m", "sslctl.notify.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Error messages of apprise and its libraries may contain URLs.
            stderr=subprocess.DEVNULL,
            env={key: value for key, value in os.environ.items() if not key.startswith("SSLCTL_")},
            encoding="utf-8",
            errors="replace",
            # Ctrl-C reaches sslctl only, which waits for the child.
            start_new_session=True,
        )
        try:
            return child.communicate(request, timeout=self._seconds)[0]
        except subprocess.TimeoutExpired:
            child.kill()
            return child.communicate()[0]
        finally:
            child.kill()


def _results(text: str) -> Iterator[tuple[int, str]]:
    """Yield the position of each URL that the child process finished, and the error, empty if it was delivered."""
    for line in text.splitlines():
        try:
            position, why = json.loads(line)
        except ValueError:
            # The last line of a killed child may be incomplete.
            continue
        yield int(position), clean(why)
