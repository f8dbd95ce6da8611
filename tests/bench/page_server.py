"""`sslctl serve` as a process, and clients that read its pages as browsers do."""

from __future__ import annotations

import http.client
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.bench.meter import Failed
from tests.bench.program import Sslctl, installed

_TIMEOUT_SECONDS = 120
_TOO_MANY = 429
_CSRF = re.compile(r'name="csrf_token" value="([^"]+)"')


class PageServer:
    """The page of `sslctl` on a free port; a context manager. Its log is in `log`."""

    def __init__(self, sslctl: Sslctl) -> None:
        self._sslctl = sslctl
        self.log = sslctl.state.parent / "serve.log"
        self._process: subprocess.Popen[str]
        self._terminal = -1

    def __enter__(self) -> Self:
        # It prints a new link for each Enter, if its standard input is a terminal.
        self._terminal, its = pty.openpty()
        try:
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    [*installed("sslctl"), "serve", "--port", "0"],
                    stdin=its,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env={**self._sslctl.environment(), "PYTHONUNBUFFERED": "1"},
                    text=True,
                    start_new_session=True,
                )
        finally:
            os.close(its)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()
        os.close(self._terminal)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def enter(self, count: int) -> list[Client]:
        """Return `count` new clients, each with a session of its own. Use it once."""
        clients = []
        for _ in range(count):
            clients.append(Client(self._read_link()))
            os.write(self._terminal, b"\n")
        return clients

    def largest_rss(self) -> int:
        """Return the most memory that the process has used so far, in bytes."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise Failed("the page's process has ended")

    def _read_link(self) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("Open "):
                return line.split()[-1]
        raise Failed(f"sslctl serve ended: {self.log.read_text(errors='replace')}")


@dataclass(frozen=True, slots=True)
class Answer:
    """A response of the page. `seconds` is the time from the request to the last byte, `retry_after` 0 without that header."""

    status: int
    seconds: float
    text: str
    location: str
    retry_after: int


class Client:
    """A session that begins with `link`, with a connection of its own."""

    def __init__(self, link: str) -> None:
        parts = urlsplit(link)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._connection = http.client.HTTPConnection(parts.netloc, timeout=_TIMEOUT_SECONDS)
        self._cookie = self._csrf_token = ""
        token = parse_qs(parts.query)["token"][0]
        while (answer := self._send("POST", "/enter", {"token": token})).status == _TOO_MANY:
            time.sleep(answer.retry_after)
        if not self._cookie:
            raise Failed(f"the page began no session: {answer.status}")

    def get(self, path: str) -> Answer:
        """Read a page. It may take `path` to another one, as a browser goes there."""
        answer = self._send("GET", path)
        found = _CSRF.search(answer.text)
        if found is not None:
            self._csrf_token = unescape(found[1])
        return answer

    def post(self, path: str, **fields: str) -> Answer:
        """Send a form, after a page with a form was read; the response is not followed."""
        return self._send("POST", path, {"csrf_token": self._csrf_token, **fields})

    def close(self) -> None:
        """Close the connection; the session goes on."""
        self._connection.close()

    def _send(self, method: str, path: str, fields: Mapping[str, str] | None = None) -> Answer:
        headers = {"Cookie": self._cookie, "Accept-Language": "en"}
        if fields is not None:
            headers |= {"Origin": self._origin, "Content-Type": "application/x-www-form-urlencoded"}
        began = time.perf_counter()
        self._connection.request(method, path, None if fields is None else urlencode(fields), headers)
        response = self._connection.getresponse()
        content = response.read()
        seconds = time.perf_counter() - began
        # A session and a language; only that of the session is new after the start.
        for cookie in response.headers.get_all("Set-Cookie", ()):
            self._cookie = cookie.partition(";")[0]
        return Answer(
            response.status,
            seconds,
            content.decode(errors="replace"),
            response.headers.get("Location", ""),
            int(response.headers.get("Retry-After", "0")),
        )
