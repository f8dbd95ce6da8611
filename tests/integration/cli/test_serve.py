"""`sslctl serve`, as a process on a terminal."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator

import pytest
import requests

from tests.support.cdn import Cdn
from tests.support.command_line import PATIENCE_SECONDS, Terminal

LINK = re.compile(r"Open (http://127\.0\.0\.1:\d+)(/enter\?token=\S+)")


@pytest.fixture
def browser() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def test_page_is_entered_once_with_the_printed_link(cdn: Cdn, browser: requests.Session) -> None:
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
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.end() == 0
        log = [line for line in terminal.lines if " GET / " in line]
    assert log
    assert not [value for value in (*cookies.values(), link) if value in "\n".join(log)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--host", "0.0.0.0"), "is not a loopback address"),  # noqa: S104 - it is refused
        (("--host", "192.0.2.1"), "is not a loopback address"),
        (("--host", "::"), "is not a loopback address"),
        (("--host", "localhost.example.net"), "is not a loopback address"),
        (("--socket", "/run/x/page.sock", "--port", "8470"), "--socket goes without --host and --port"),
    ],
)
def test_address_that_others_could_reach_is_a_usage_error(
    cdn: Cdn, arguments: tuple[str, ...], message: str
) -> None:
    refused = cdn.sslctl("serve", *arguments)
    assert refused.exit_code == 2
    assert message in refused.stderr


def test_socket_without_a_configuration_of_the_proxy_is_refused(cdn: Cdn) -> None:
    refused = cdn.sslctl("serve", "--socket", str(cdn.folder / "page.sock"))
    assert refused.exit_code == 8
    assert "web.public_url is not set" in refused.stderr
    assert not (cdn.folder / "page.sock").exists()
