"""Sending with apprise: it ends within its timeout and never reveals a URL, whatever the server does."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sslctl.config.settings import NotifySection
from sslctl.errors import ConfigError
from sslctl.notify import Message, MessageKind
from sslctl.notify.ping import ping
from sslctl.notify.sender import AppriseNotifier
from sslctl.notify.urls import read_urls
from tests.support.webhook import Webhook

MESSAGE = Message(MessageKind.TEST, "a title", "a text")
SECRET = "s3cret-path"


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with Webhook() as running:
        yield running


def why(url: str, seconds: float = 20) -> str:
    (missed,) = AppriseNotifier([url], seconds).send(MESSAGE, (1,))
    assert SECRET not in str(missed)
    return missed.why


@pytest.mark.parametrize("status", [400, 403, 500, 503])
def test_send_reports_the_http_status_of_a_refusal(webhook: Webhook, status: int) -> None:
    webhook.status = status
    assert why(webhook.url()) == f"answered {status}"


def test_send_reports_a_closed_port(closed_port: int) -> None:
    assert why(f"json://127.0.0.1:{closed_port}/{SECRET}") == "could not be reached, or refused the message"


@pytest.mark.parametrize("url", [f"nosuch://{SECRET}", f"slack://{SECRET}", f"json://{SECRET}:99999999/"])
def test_send_reports_a_url_that_apprise_cannot_use(url: str) -> None:
    assert why(url) in ("is not a URL that apprise supports", "could not be reached, or refused the message")


def test_send_times_out_for_a_hanging_url_and_delivers_to_the_others(webhook: Webhook) -> None:
    with Webhook() as other:
        webhook.hangs = True
        before = time.monotonic()
        missed = AppriseNotifier([webhook.url(), other.url()], 5).send(MESSAGE, (1, 2))
        assert time.monotonic() - before < 8
        assert [(each.position, each.why) for each in missed] == [
            (1, "did not take the message within 5 seconds")
        ]
        assert other.bodies == ["a title\na text"]


def test_send_does_not_wait_for_a_hanging_thread_of_apprise(webhook: Webhook) -> None:
    """With `timeout` apprise waits in a thread pool, which Python would join at exit."""
    webhook.hangs = True
    script = (
        "import sys, time; from sslctl.notify import *; from sslctl.notify.sender import AppriseNotifier;"
        "print(AppriseNotifier([sys.stdin.read()], 4).send(Message(MessageKind.TEST, 'a', 'b'), (1,)))"
    )
    before = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-c", script],
        input=f"{webhook.url()}?timeout=2",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert time.monotonic() - before < 12
    assert "Undelivered" in result.stdout
    assert SECRET not in result.stdout + result.stderr


def test_send_reports_a_failure_for_each_url_if_no_process_can_be_started() -> None:
    script = (
        "import resource, sys; from sslctl.notify import *; from sslctl.notify.sender import AppriseNotifier;"
        "notifier = AppriseNotifier([sys.stdin.read()] * 3, 4);"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4));"
        "print(*notifier.send(Message(MessageKind.TEST, 'a', 'b'), (1, 3, 9)), sep='\\n')"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        input=f"json://127.0.0.1/{SECRET}",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.stdout.splitlines() == [
        f"URL {number} (json) got no message: sslctl may open no further file or connection"
        for number in (1, 3)
    ], result.stderr


def test_send_passes_no_url_in_arguments_or_environment_of_the_child(webhook: Webhook) -> None:
    webhook.hangs = True
    os.environ["SSLCTL_NOTIFY_URLS"] = webhook.url()
    seen: list[str] = []

    def look() -> None:
        for place in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command = place.read_text()
                if "sslctl.notify.child" in command:
                    seen.append(command + (place.parent / "environ").read_text())
            except OSError:
                continue

    timer = threading.Timer(2, look)
    timer.start()
    try:
        AppriseNotifier([webhook.url()], 4).send(MESSAGE, (1,))
    finally:
        del os.environ["SSLCTL_NOTIFY_URLS"]
        timer.join()
    assert seen
    assert SECRET not in "".join(seen)


def test_ping_returns_empty_text_or_the_reason_of_the_failure(webhook: Webhook, closed_port: int) -> None:
    url = f"http://{webhook.address}/{SECRET}?rid=1"
    assert ping(url) == ""
    assert webhook.pings == [f"/{SECRET}?rid=1"]
    webhook.status = 404
    assert ping(url) == "answered 404"
    webhook.status = 302
    assert ping(url) == "answered 302"
    assert len(webhook.pings) == 3
    assert ping(f"http://127.0.0.1:{closed_port}/{SECRET}") == "could not be reached (ConnectionRefusedError)"


def test_ping_times_out_when_the_server_hangs(webhook: Webhook) -> None:
    webhook.hangs = True
    before = time.monotonic()
    assert ping(f"http://{webhook.address}/", 1) == "did not answer within 1 seconds"
    assert time.monotonic() - before < 3


def test_read_urls_joins_configuration_and_file(tmp_path: Path) -> None:
    file = tmp_path / "urls"
    file.write_text("# the team\n\n  mailto://a:b@example.com  \njson://example.com/x\n")
    file.chmod(0o600)
    section = NotifySection(urls=("slack://a/b/c",), urls_file=file)
    assert read_urls(section) == ("slack://a/b/c", "mailto://a:b@example.com", "json://example.com/x")
    assert read_urls(NotifySection()) == ()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_read_urls_reads_a_file_with_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "urls"
    file.write_bytes("json://example.com/x\r\nmailto://a:b@example.com".encode(encoding))
    file.chmod(0o600)
    assert read_urls(NotifySection(urls_file=file)) == ("json://example.com/x", "mailto://a:b@example.com")


def test_read_urls_refuses_a_file_that_is_not_text(tmp_path: Path) -> None:
    file = tmp_path / "urls"
    file.write_bytes("json://exämple.com/x".encode("latin-1"))
    file.chmod(0o600)
    with pytest.raises(ConfigError, match=r"^notify\.urls_file: .* is not text in UTF-8 or UTF-16$"):
        read_urls(NotifySection(urls_file=file))


@pytest.mark.parametrize(
    "line", [f"{SECRET}", f"json:/{SECRET}", f"json://{SECRET} x", f"json://{SECRET}\x1b[31m"]
)
def test_read_urls_error_names_the_line_and_not_its_content(tmp_path: Path, line: str) -> None:
    file = tmp_path / "urls"
    file.write_text(f"# comment\n{line}\n")
    file.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        read_urls(NotifySection(urls_file=file))
    assert "line 2 must be a URL of apprise" in caught.value.message
    assert SECRET not in caught.value.message


def test_read_urls_refuses_a_world_readable_or_missing_file(tmp_path: Path) -> None:
    file = tmp_path / "urls"
    file.write_text("json://example.com\n")
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="everyone has access to"):
        read_urls(NotifySection(urls_file=file))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_urls(NotifySection(urls_file=tmp_path / "nowhere"))


def test_notify_command_explains_how_to_install_apprise_when_it_is_missing(tmp_path: Path) -> None:
    """Run a Python that finds sslctl and its dependencies, but no apprise."""
    script = "import sys\nsys.modules['apprise'] = None\nfrom sslctl.cli.main import main\nmain(['notify'])\n"
    environment = {**os.environ, "SSLCTL_NOTIFY_URLS": f"json://{SECRET}", "HOME": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 8
    assert f"{sys.executable} -m pip install '.[notify]'" in result.stderr
    assert SECRET not in result.stderr
