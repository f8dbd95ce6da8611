"""`sslctl serve`, as a process on a terminal."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator

import pytest
import requests

from tests.support.cdn import Cdn
from tests.support.command_line import PATIENCE_SECONDS, Terminal

CSRF = re.compile(r'name="csrf_token" value="([^"]+)"')
LINK = re.compile(r"Open (http://127\.0\.0\.1:\d+)(/enter\?token=\S+)")


@pytest.fixture
def browser() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def test_page_is_entered_once_with_the_printed_link_and_its_jobs_outlive_it(
    cdn: Cdn, browser: requests.Session
) -> None:
    with Terminal(cdn, "serve", "--port", "0") as terminal:
        terminal.await_text("Ctrl-C to end.")
        terminal.type("\n")
        while len(LINK.findall(terminal.screen)) < 2:
            assert terminal._read()
        (address, void), (_, link) = LINK.findall(terminal.screen)
        codes = []
        for path in (void, link, link):
            token = path.partition("=")[2]
            entered = browser.post(
                f"{address}/enter", {"token": token}, headers={"Origin": address}, timeout=PATIENCE_SECONDS
            )
            codes.append(entered.history[0].status_code if entered.history else entered.status_code)
        # The second link made the first one void, and each link is good for one session.
        assert codes == [403, 303, 403]
        shown = browser.get(address, timeout=PATIENCE_SECONDS)
        assert (shown.status_code, shown.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        cookies = browser.cookies.get_dict()
        form = {"domains": "shop.example.com", "csrf_token": CSRF.findall(shown.text)[0]}
        started = browser.post(f"{address}/add", form, headers={"Origin": address}, timeout=PATIENCE_SECONDS)
        assert started.status_code == 200
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.end() == 0
        ended = "These jobs go on, and `sslctl view NAME` shows how they end: add shop.example.com"
        assert ended in terminal.screen
        log = [line for line in terminal.lines if " GET / " in line]
    assert log
    until = time.monotonic() + PATIENCE_SECONDS
    while cdn.sslctl("view", "shop.example.com").exit_code == 9 and time.monotonic() < until:
        pass
    assert cdn.sslctl("view", "shop.example.com").exit_code != 9
    assert not [value for value in (*cookies.values(), link) if value in "\n".join(log)]


def test_address_that_others_could_reach_is_a_usage_error(cdn: Cdn) -> None:
    for host in ("0.0.0.0", "192.0.2.1", "::", "localhost.example.net", "127.0.0.1:80"):  # noqa: S104 - it is refused
        refused = cdn.sslctl("serve", "--host", host)
        assert (refused.exit_code, "is not a loopback address" in refused.stderr) == (2, True), host
    refused = cdn.sslctl("serve", "--socket", "/run/x/page.sock", "--port", "8470")
    assert (refused.exit_code, "--socket goes without --host and --port" in refused.stderr) == (2, True)


def test_socket_without_a_configuration_of_the_proxy_is_refused(cdn: Cdn) -> None:
    refused = cdn.sslctl("serve", "--socket", str(cdn.folder / "page.sock"))
    assert refused.exit_code == 8
    assert "web.public_url is not set" in refused.stderr
    assert not (cdn.folder / "page.sock").exists()
