"""One message in a process of its own, in which apprise runs.

It reads the errand, a JSON object, from its standard input, and writes a line of JSON for each URL as soon as that is
done with: `[position, why it failed]`. In a process of its own, because a service that hangs holds a thread that nobody
can end, and Python waits for some of apprise's at its own end.
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

# Of what apprise says, the status of HTTP alone is taken: the rest may hold parts of the URL, or what a server said.
_STATUS = re.compile(r"\berror[=:]\s*([1-5][0-9]{2})\b")
_MOST_AT_ONCE = 32
# What was heard of the URL that a thread works for: apprise hands the context on to threads of its own.
_HEARD: ContextVar[list[str]] = ContextVar("heard")


class _Ear(logging.Handler):
    """Hears the statuses of HTTP that are complained of."""

    def emit(self, record: logging.LogRecord) -> None:
        if found := _STATUS.search(record.getMessage()):
            _HEARD.get([]).append(found[1])


def deliver(url: str, message: Mapping[str, Any]) -> str:
    """Send `message` to `url`; give why that failed, or nothing."""
    heard: list[str] = []
    _HEARD.set(heard)
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
        return "is not one that apprise knows"
    delivered = service.notify(
        body=message["body"],
        title=message["title"],
        notify_type=message["kind"],
        body_format=apprise.NotifyFormat.TEXT,
    )
    if delivered:
        return ""
    return f"answered {heard[-1]}" if heard else "could not be reached, or refused it"


def main() -> None:
    """Do the errand."""
    errand = json.load(sys.stdin)
    log = logging.getLogger("apprise")
    log.addHandler(_Ear(logging.WARNING))
    log.propagate = False
    with ThreadPoolExecutor(_MOST_AT_ONCE) as pool:
        under_way = {pool.submit(deliver, url, errand): int(number) for number, url in errand["urls"].items()}
        for done in as_completed(under_way):
            trouble = done.exception()
            why = done.result() if trouble is None else f"made apprise fail ({type(trouble).__name__})"
            sys.stdout.write(json.dumps([under_way[done], why]) + "\n")
            sys.stdout.flush()
    # Threads that apprise made and that hang are not waited for.
    os._exit(0)


if __name__ == "__main__":
    main()
