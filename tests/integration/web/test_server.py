"""The server with the gate of a reverse proxy, as a hostile client meets it that sends bytes of its own."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support import ROOT

PATIENCE_SECONDS = 20
HOST = "Host: ssl.example.net"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of a running server."""
    path = tmp_path_factory.mktemp("run") / "page.sock"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.page_server", str(path), "0.2"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "listening\n"
        yield path
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    assert not path.exists()


def exchange(server: Path, *requests: bytes) -> str:
    """Send `requests` on one connection, and return everything that came back until the server closed it."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_SECONDS)
        client.connect(str(server))
        for request in requests:
            client.sendall(request)
        answer = b""
        # A server that read only a part of a large request resets the connection after its answer.
        with suppress(ConnectionResetError):
            while received := client.recv(65536):
                answer += received
    return answer.decode("latin-1")


def ask(server: Path, *lines: str, start: str = "GET / HTTP/1.1", host: str = HOST) -> str:
    """Return the response to one request with the header `lines`."""
    headers = "\r\n".join([start, *([host] if host else []), *lines, "Connection: close"])
    return exchange(server, f"{headers}\r\n\r\n".encode("latin-1"))


def status(answer: str) -> int:
    return int(answer.split()[1])


def test_person_of_the_proxy_is_served_with_the_scheme_of_the_page(server: Path) -> None:
    answer = ask(server, "X-Person: vera")
    assert status(answer) == 200
    assert answer.endswith("vera by https")
    assert "\nServer:" not in answer
    assert "waitress" not in answer


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("X-Person: vera", "X-Person: olga"),
        ("X-Person: olga", "X-Person: olga"),
        ("X-Person: vera", "x-person: olga"),
        ("X-PERSON: vera", "Accept: */*", "X-pErSoN: olga"),
        ("X-Person: vera", "X_Person: olga"),
        ("x_person: olga", "X-Person: vera"),
        ("X-Person: vera", "X-Person:"),
        ("X-Person:", "X-Person: vera"),
        ("X-Person: vera, olga",),
        ("X_Person: vera",),
        ("HTTP-X-Person: vera",),
        ("HTTP_X_PERSON: vera",),
        # A second list of groups, which a person may have sent through the proxy, must not be added to the first.
        ("X-Person: vera", "X-Groups: others", "X-Groups: readers"),
        ("X-Person: vera", "X-Groups: others", "x_groups: readers"),
        ("X-Person: vera", "X-Person : olga", "X-Person: vera"),
    ],
    ids=" | ".join,
)
def test_person_who_is_missing_or_doubled_in_any_spelling_is_refused(
    server: Path, lines: tuple[str, ...]
) -> None:
    assert status(ask(server, *lines)) == (400 if any(" :" in line for line in lines) else 401)


@pytest.mark.parametrize(
    "raw",
    [
        "X-Person: vera\r\n X-Person: olga",
        "X-Person: vera\r\n\tolga",
        "X-Other: x\r\n X-Person: olga",
        "X-Person: vera\nX-Person: olga",
        "X-Person: vera\rX-Person: olga",
        "X-Person\t: olga",
        "X-Person\x00: olga",
        "X-Person: ve\x00ra",
        " X-Person: olga",
    ],
    ids=repr,
)
def test_malformed_header_is_refused(server: Path, raw: str) -> None:
    assert status(ask(server, raw)) == 400


def test_person_of_one_request_is_not_that_of_the_next_on_the_connection(server: Path) -> None:
    first = f"GET / HTTP/1.1\r\n{HOST}\r\nX-Person: vera\r\n\r\n".encode()
    second = f"GET / HTTP/1.1\r\n{HOST}\r\nConnection: close\r\n\r\n".encode()
    answer = exchange(server, first, second)
    assert answer.count("HTTP/1.1 ") == 2
    assert answer.count("HTTP/1.1 401") == 1


def test_trailer_of_a_chunked_body_names_no_person(server: Path) -> None:
    start = f"POST / HTTP/1.1\r\n{HOST}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    answer = exchange(server, f"{start}1\r\nx\r\n0\r\nX-Person: vera\r\n\r\n".encode())
    assert status(answer) in (400, 401, 403)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "Host:",
        "Host: evil.example",
        "Host: ssl.example.net\r\nHost: evil.example",
        "Host: evil.example\r\nHost: ssl.example.net",
        "Host: ssl.example.net, evil.example",
        "Host: ssl.example.net@evil.example",
        "Host: ssl.example.net/",
        "Host: ssl.example.net:444",
        "Host: ssl.example.net.",
        "Host: [",
        "Host: [::1",
        "Host: ssl.example.net:x",
        "Host: \xff",
    ],
    ids=repr,
)
def test_foreign_host_is_refused(server: Path, host: str) -> None:
    answer = ask(server, "X-Person: vera", host=host)
    assert status(answer) in (400, 421)
    assert_guarded(answer)


def assert_guarded(answer: str) -> None:
    """Check that a response has the headers of all responses, and names no program."""
    headers = answer.partition("\r\n\r\n")[0].lower().split("\r\n")
    assert "cache-control: no-store" in headers
    assert "x-content-type-options: nosniff" in headers
    assert any(line.startswith("content-security-policy: default-src 'none'") for line in headers)
    assert any(line.startswith("strict-transport-security: max-age=") for line in headers)
    assert not [line for line in headers if line.startswith(("server:", "via:"))]
    assert "waitress" not in answer
    assert "Traceback" not in answer


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("NONSENSE\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        ("get / HTTP/1.1\r\n\r\n", 400),
        (f"POST /change HTTP/1.1\r\n{HOST}\r\nContent-Length: -1\r\n\r\n", 400),
        (f"POST /change HTTP/1.1\r\n{HOST}\r\nContent-Length: 2000000\r\n\r\n", 413),
        (f"POST /change HTTP/1.1\r\n{HOST}\r\nContent-Length: 99999999999999999999\r\n\r\n", 413),
        (f"POST /change HTTP/1.1\r\n{HOST}\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (f"POST /change HTTP/1.1\r\n{HOST}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (f"GET / HTTP/1.1\r\n{HOST}\r\nX-Large: {'x' * 40_000}\r\n\r\n", 431),
        (f"GET /{'x' * 40_000} HTTP/1.1\r\n{HOST}\r\n\r\n", 431),
        (f"DELETE / HTTP/1.1\r\n{HOST}\r\nX-Person: vera\r\nConnection: close\r\n\r\n", 403),
        (f"TRACE / HTTP/1.1\r\n{HOST}\r\nX-Person: vera\r\nConnection: close\r\n\r\n", 403),
        (f"GET /missing HTTP/1.1\r\n{HOST}\r\nX-Person: vera\r\nConnection: close\r\n\r\n", 404),
        (f"GET /static/%2e%2e/server.py HTTP/1.1\r\n{HOST}\r\nConnection: close\r\n\r\n", 404),
        (f"GET /static/../server.py HTTP/1.1\r\n{HOST}\r\nConnection: close\r\n\r\n", 404),
        (f"GET /static/..%2f..%2fapp.py HTTP/1.1\r\n{HOST}\r\nConnection: close\r\n\r\n", 404),
        (f"GET /static/%00 HTTP/1.1\r\n{HOST}\r\nConnection: close\r\n\r\n", 404),
        (f"GET /%ff%0aforged HTTP/1.1\r\n{HOST}\r\nConnection: close\r\n\r\n", 401),
    ],
)
def test_every_refusal_has_the_headers_of_all_responses(server: Path, raw: str, code: int) -> None:
    answer = exchange(server, raw.encode())
    assert status(answer) == code
    assert_guarded(answer)


def test_request_that_takes_too_long_is_cut_off(server: Path) -> None:
    """A client that sends a byte from time to time must not keep a connection for ever."""
    body = f"POST /change HTTP/1.1\r\n{HOST}\r\nContent-Length: 100\r\n\r\nx".encode()
    with socket.socket(socket.AF_UNIX) as slow, socket.socket(socket.AF_UNIX) as slower:
        for client, start in ((slow, b"GET / HTTP/1.1\r\nHost: "), (slower, body)):
            client.settimeout(PATIENCE_SECONDS)
            client.connect(str(server))
            client.sendall(start)
        assert (slow.recv(1), slower.recv(1)) == (b"", b"")
