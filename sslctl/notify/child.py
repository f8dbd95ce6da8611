"""The child process in which apprise sends one message.

It reads a JSON object with the message and the URLs from standard input. For each URL it writes a line of JSON,
`[position, error]`, as soon as the delivery ended. It is a process of its own because a service that hangs blocks a thread
that cannot be ended, and Python waits for some of apprise's threads when it exits.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextvars import ContextVar
from typing import Any

import apprise

# Only the HTTP status is taken from apprise's log: the rest may contain parts of the URL or text of the server.
_STATUS = re.compile(r"\berror[=:]\s*([1-5][0-9]{2})\b")
_MAX_THREADS = 32
# The HTTP statuses that were logged for a thread's URL: apprise passes the context on to its own threads.
_STATUSES: ContextVar[list[str]] = ContextVar("statuses")


class _StatusHandler(logging.Handler):
    """A log handler that collects the HTTP statuses of failed deliveries."""

    def emit(self, record: logging.LogRecord) -> None:
        if found := _STATUS.search(record.getMessage()):
            _STATUSES.get([]).append(found[1])


def deliver(url: str, message: Mapping[str, Any]) -> str:
    """Send `message` to `url`; return why that failed, or an empty string."""
    statuses: list[str] = []
    _STATUSES.set(statuses)
    asset = apprise.AppriseAsset(
        app_id="sslctl",
        app_desc="sslctl",
        app_url="",
        image_url_mask="",
        async_mode=False,
        storage_mode="memory",
    )
    service = apprise.Apprise(asset=asset)
    if not service.add(url):
        return "is not a URL that apprise supports"
    delivered = service.notify(
        body=message["body"],
        title=message["title"],
        notify_type=message["kind"],
        body_format=apprise.NotifyFormat.TEXT,
    )
    if delivered:
        return ""
    return f"answered {statuses[-1]}" if statuses else "could not be reached, or refused the message"


def main() -> None:
    """Send the message on standard input and write the result for each URL."""
    request = json.load(sys.stdin)
    log = logging.getLogger("apprise")
    log.addHandler(_StatusHandler(logging.WARNING))
    log.propagate = False
    with ThreadPoolExecutor(_MAX_THREADS) as pool:
        futures = {pool.submit(deliver, url, request): int(number) for number, url in request["urls"].items()}
        for done in as_completed(futures):
            error = done.exception()
            why = done.result() if error is None else f"made apprise fail ({type(error).__name__})"
            sys.stdout.write(json.dumps([futures[done], why]) + "\n")
            sys.stdout.flush()
    # Do not wait for threads of apprise that hang.
    os._exit(0)


if __name__ == "__main__":
    main()
