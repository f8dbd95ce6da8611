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
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import apprise

# Of what apprise says, the status of HTTP alone is taken: the rest may hold parts of the URL, or what a server said.
_STATUS = re.compile(r"\berror[=:]\s*([1-5][0-9]{2})\b")
_MOST_AT_ONCE = 32


class _Ear(logging.Handler):
    """Remembers the last status of HTTP that was complained of in this thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.statuses: dict[int | None, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if found := _STATUS.search(record.getMessage()):
            self.statuses[record.thread] = found[1]


def deliver(url: str, message: Mapping[str, Any], ear: _Ear) -> str:
    """Send `message` to `url`; give why that failed, or nothing."""
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
    status = ear.statuses.get(threading.get_ident())
    return f"answered {status}" if status else "could not be reached, or refused it"


def main() -> None:
    """Do the errand."""
    errand = json.load(sys.stdin)
    ear = _Ear()
    log = logging.getLogger("apprise")
    log.addHandler(ear)
    log.propagate = False
    with ThreadPoolExecutor(_MOST_AT_ONCE) as pool:
        under_way = {
            pool.submit(deliver, url, errand, ear): int(number) for number, url in errand["urls"].items()
        }
        for done in as_completed(under_way):
            trouble = done.exception()
            why = done.result() if trouble is None else f"made apprise fail ({type(trouble).__name__})"
            sys.stdout.write(json.dumps([under_way[done], why]) + "\n")
            sys.stdout.flush()
    # Threads that apprise made and that hang are not waited for.
    os._exit(0)


if __name__ == "__main__":
    main()
