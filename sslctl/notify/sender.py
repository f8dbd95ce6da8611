"""Messages by apprise, which runs in a child process (`notify.child`) that can be killed when its time is over."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict

from sslctl.errors import ConfigError
from sslctl.notify import Message, Undelivered
from sslctl.notify.urls import scheme_of
from sslctl.text import clean

SECONDS = 30.0
"""How long one message may take, to however many URLs."""


class AppriseNotifier:
    """A `Notifier` to the apprise `urls`. Raises `ConfigError` where apprise is not installed.

    That is seen without importing it: its hundred services take longer to load than a tick with nothing to do.
    """

    def __init__(self, urls: Sequence[str], seconds: float = SECONDS) -> None:
        if importlib.util.find_spec("apprise") is None:
            raise ConfigError(
                "notify has URLs, but apprise is not installed, which sends to them",
                hint="pip install sslctl[notify]",
            )
        self._urls = tuple(urls)
        self._seconds = seconds
        self.schemes = tuple(map(scheme_of, urls))

    def send(self, message: Message, positions: Collection[int]) -> list[Undelivered]:
        """See `Notifier.send`."""
        urls = {number: url for number, url in enumerate(self._urls, 1) if number in positions}
        if not urls:
            return []
        answers = dict(_answers(self._run(json.dumps({"urls": urls, **asdict(message)}))))
        late = f"did not take it within {self._seconds:g} seconds"
        return [
            Undelivered(number, self.schemes[number - 1], why)
            for number in urls
            if (why := answers.get(number, late))
        ]

    def _run(self, errand: str) -> str:
        """Give what the child wrote, complete or not. The URLs go through a pipe: arguments can be read by anyone."""
        child = subprocess.Popen(
            # -P: whatever lies in the folder that sslctl is called from is not imported.
            [sys.executable, "-P", "-m", "sslctl.notify.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # What apprise and what it is built on complain of may hold URLs.
            stderr=subprocess.DEVNULL,
            env={key: value for key, value in os.environ.items() if not key.startswith("SSLCTL_")},
            encoding="utf-8",
            errors="replace",
            # Ctrl-C reaches sslctl alone, which waits for the child.
            start_new_session=True,
        )
        try:
            return child.communicate(errand, timeout=self._seconds)[0]
        except subprocess.TimeoutExpired:
            child.kill()
            return child.communicate()[0]
        finally:
            child.kill()


def _answers(text: str) -> Iterator[tuple[int, str]]:
    """Read the child's answers: the position of each URL that is done with, and why it failed, empty where it did not."""
    for line in text.splitlines():
        try:
            position, why = json.loads(line)
        except ValueError:
            # The last line of a child that was killed may be cut.
            continue
        yield int(position), clean(why)
