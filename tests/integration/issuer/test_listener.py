"""The listener of standalone mode serves key authorizations and nothing else."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from sslctl.issuer.certbot.challenge_sources import FolderSource, ThumbprintSource
from sslctl.issuer.certbot.listener import ConnectionLimits, Listener

ANSWER = "/.well-known/acme-challenge/"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "outside" / "challenges"
    inside.mkdir(parents=True)
    (inside / "token-1_A").write_text("token-1_A.thumbprint")
    (inside / "folder").mkdir()
    (inside.parent / "secret").write_text("secret")
    return inside


@pytest.fixture
def port(folder: Path) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        number: int = free.getsockname()[1]
    listener = Listener("", number, FolderSource(folder))
    yield number
    listener.close()


def ask(port: int, path: str, *, host: str = "127.0.0.1", method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        connection.endheaders()
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_listener_serves_a_key_authorization_over_ipv4_and_ipv6(port: int, host: str) -> None:
    assert ask(port, ANSWER + "token-1_A", host=host) == (200, b"token-1_A.thumbprint")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        ANSWER,
        ANSWER + "unknown",
        ANSWER + "../secret",
        ANSWER + "..%2Fsecret",
        ANSWER + "%2e%2e/secret",
        ANSWER + "token-1_A/",
        ANSWER + "token-1_A?x=1",
        ANSWER + "token-1_A%00",
        ANSWER + "a" * 256,
        "/../secret",
        "//secret",
        "/etc/passwd",
    ],
)
def test_listener_returns_404_for_any_other_path(port: int, path: str) -> None:
    assert ask(port, path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_listener_returns_501_for_methods_that_write(port: int, method: str) -> None:
    assert ask(port, ANSWER + "token-1_A", method=method)[0] == 501


def test_listener_keeps_working_after_broken_and_invalid_requests(port: int) -> None:
    for words in (b"", b"\x16\x03\x01\x02\x00", b"GET / HTTP/9\r\n\r\n", b"GET " + b"a" * 70_000):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as visitor:
            visitor.sendall(words)
    assert ask(port, ANSWER + "token-1_A")[0] == 200


def test_listener_is_not_delayed_by_idle_connections(port: int) -> None:
    held = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(50)]
    assert ask(port, ANSWER + "token-1_A")[0] == 200
    for each in held:
        each.close()


class Dripping:
    """Half-open connections to `port` from the addresses `sources`, each of which sends a byte now and then."""

    def __init__(self, port: int, sources: Sequence[str]) -> None:
        self._open = [
            socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0))
            for source in sources
        ]
        self.drip()

    def drip(self) -> None:
        for each in self._open:
            with suppress(OSError):
                each.sendall(b"G")

    def wait_for_end(self) -> None:
        """Send bytes until the listener has ended every connection."""
        for each in self._open:
            each.settimeout(0.2)
            assert any(self._is_ended(each) for _ in range(200))

    def _is_ended(self, connection: socket.socket) -> bool:
        self.drip()
        try:
            return connection.recv(1) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True

    def close(self) -> None:
        for each in self._open:
            each.close()


@pytest.fixture
def listening(folder: Path) -> Iterator[Callable[..., int]]:
    """Return a function that starts a listener with these `ConnectionLimits`, and returns its port."""
    listeners: list[Listener] = []

    def start(**limits: float) -> int:
        with socket.create_server(("127.0.0.1", 0)) as free:
            number: int = free.getsockname()[1]
        listeners.append(Listener("", number, FolderSource(folder), ConnectionLimits(**limits)))  # type: ignore[arg-type]
        return number

    yield start
    for each in listeners:
        each.close()


@pytest.mark.parametrize(
    "sources", [["127.0.0.9"] * 60, [f"127.0.0.{each}" for each in range(2, 62)]], ids=["one", "many"]
)
def test_slow_connections_keep_no_request_of_the_ca_out(
    listening: Callable[..., int], sources: list[str]
) -> None:
    port = listening(most=20, most_per_network=5, seconds=600)
    slow = Dripping(port, sources)
    for _ in range(30):
        slow.drip()
        assert ask(port, ANSWER + "token-1_A")[0] == 200
    slow.close()


def test_connection_that_sends_a_byte_now_and_then_is_ended_after_its_time(
    listening: Callable[..., int],
) -> None:
    port = listening(seconds=0.5)
    slow = Dripping(port, ["127.0.0.1"] * 5)
    slow.wait_for_end()
    slow.close()
    assert ask(port, ANSWER + "token-1_A")[0] == 200


def test_two_listeners_share_one_port_for_the_same_folder(port: int, folder: Path) -> None:
    other = Listener("", port, FolderSource(folder))
    assert {ask(port, ANSWER + "token-1_A")[0] for _ in range(20)} == {200}
    other.close()
    assert ask(port, ANSWER + "token-1_A")[0] == 200


def test_listener_raises_os_error_when_its_port_serves_another_folder(port: int, tmp_path: Path) -> None:
    (tmp_path / "another").mkdir()
    with pytest.raises(OSError, match=rf"^port {port}, which HTTP-01 needs, is used by another program$"):
        Listener("", port, FolderSource(tmp_path / "another"))
    assert list((tmp_path / "another").iterdir()) == []


def test_closed_listener_refuses_connections(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    Listener("127.0.0.1", number, FolderSource(folder)).close()
    with pytest.raises(ConnectionRefusedError):
        ask(number, ANSWER + "token-1_A")


@pytest.fixture
def stateless_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        number: int = free.getsockname()[1]
    listener = Listener("", number, ThumbprintSource("thumb_print"))
    yield number
    listener.close()


@pytest.mark.parametrize("token", ["token", "-_-", "a" * 255])
def test_stateless_listener_answers_every_token(stateless_port: int, token: str) -> None:
    assert ask(stateless_port, ANSWER + token) == (200, f"{token}.thumb_print".encode())
    assert ask(stateless_port, ANSWER + token, method="HEAD") == (200, b"")


@pytest.mark.parametrize(
    "token", ["", "..", "../x", "%2e", "a%0a", "a.b", "a/", "a?b", "a" * 256, "a" * 10_000, "%c3%a4"]
)
def test_stateless_listener_answers_nothing_else(stateless_port: int, token: str) -> None:
    assert ask(stateless_port, ANSWER + token)[0] == 404


def test_stateless_listeners_share_a_port_only_with_the_same_thumbprint(stateless_port: int) -> None:
    Listener("", stateless_port, ThumbprintSource("thumb_print")).close()
    with pytest.raises(OSError, match="is used by another program"):
        Listener("", stateless_port, ThumbprintSource("another"))
