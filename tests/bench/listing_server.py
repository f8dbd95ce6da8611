"""A C4 that only says what it has, as a process of its own: the domains of a state, as sslctl last saw them.

It ends when its standard input does. The first line of that names the database; the answer is the address.
"""

from __future__ import annotations

import json
import re
import sqlite3
import sys
import threading
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any, Self

from sslctl.rules.reasons import Code
from tests.bench.piped_process import PipedProcess

_PAGE_SIZE = 1000
_CURSOR = re.compile("cursor=([0-9]+)")
_UNKNOWN = {"type": "about:blank", "title": "Not Found", "status": 404, "code": "unknown_domain"}
_LISTED = """SELECT name, domain.customer, certificate.source, fingerprint, not_after
    FROM domain LEFT JOIN certificate ON certificate.id = serving_id
    WHERE finding_code IS DISTINCT FROM ? ORDER BY name"""


class ListingServer(PipedProcess):
    """A server of the domains in `database`, without those that C4 is known not to know; a context manager."""

    def __init__(self, database: Path) -> None:
        super().__init__("tests.bench.listing_server")
        self._database = database
        self.url = ""

    def __enter__(self) -> Self:
        super().__enter__()
        self.url = self.ask(str(self._database))
        return self


def _pages(database: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the pages of the list, each with its first name."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        listed = connection.execute(_LISTED, (Code.C4_UNKNOWN_DOMAIN,))
        number = 0
        block = list(islice(listed, _PAGE_SIZE))
        while block:
            following = list(islice(listed, _PAGE_SIZE))
            number += 1
            page = {"domains": [_record(*row) for row in block], "next": str(number) if following else None}
            yield block[0][0], json.dumps(page).encode()
            block = following


def _record(
    name: str, customer: str, source: str | None, fingerprint: str, not_after: str
) -> dict[str, object]:
    certificate = {
        "source": source,
        "fingerprint_sha256": fingerprint,
        "not_after": not_after,
        "state": "active",
    }
    return {
        "domain": name,
        "customer": customer,
        "cname_target": f"{name}.cdn.test",
        "ports": [80, 443],
        "certificate": None if source is None else certificate,
    }


def main() -> None:
    """Make the pages, serve them, and stop when standard input ends."""
    firsts, pages = zip(*_pages(Path(sys.stdin.readline().rstrip("\n"))), strict=True)

    class Handler(BaseHTTPRequestHandler):
        """Answers with a page of the list, or with the record of a domain."""

        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """Send the answer."""
            path, _, query = self.path.removeprefix("/v1/domains").partition("?")
            if path:
                self._send_record(path[1:])
            else:
                cursor = _CURSOR.search(query)
                self._send(200, "application/json", pages[int(cursor[1]) if cursor else 0])

        def _send_record(self, name: str) -> None:
            records: list[Any] = json.loads(pages[max(0, bisect_right(firsts, name) - 1)])["domains"]
            for record in records:
                if record["domain"] == name:
                    self._send(200, "application/json", json.dumps(record).encode())
                    return
            self._send(404, "application/problem+json", json.dumps(_UNKNOWN).encode())

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Write no log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    main()
