"""The client of C4: what each response means, and that no server can hang, flood, redirect or mislead it.

Tests of "C4 responds so, the client returns or raises that" use `responses` (fixture `c4`), without a socket and without
real pauses. Tests of sockets, TLS, timeouts, cut or endless bodies and kept connections use a real server
(`Misbehaving`, fixture `connect`).
"""

from __future__ import annotations

import gzip
import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import responses
import trustme
from hypothesis import given
from hypothesis import strategies as st

from sslctl.certificates import x509
from sslctl.control_plane import (
    ControlPlane,
    Installed,
    Record,
    Rejected,
    State,
    TextCertificatePresent,
    Unanswered,
    Unauthorized,
    UnknownDomain,
)
from sslctl.control_plane.c4.client import C4Client
from sslctl.errors import ConfigError
from sslctl.net.transport import retry_time
from sslctl.rules.model import Bundle, Source
from tests.support.misbehaving import (
    GIGABYTE,
    PROBLEM,
    Behaviour,
    Misbehaving,
    answering,
    dripping,
    flooding,
    http_head,
    in_turn,
    reset,
    send_after,
    sending,
    silence,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TOKEN = "a-token-that-nobody-may-see"
NAME = "shop.example.com"
ADDRESS = "https://c4.example.net/api"
# Where no socket is opened, plain HTTP: loading the CAs for each client takes longer than the rest of a test.
PLAIN_ADDRESS = "http://127.0.0.1/api"
DOMAIN_URL = f"{PLAIN_ADDRESS}/v1/domains/{NAME}"
CERTIFICATE_URL = f"{DOMAIN_URL}/certificate"
FINGERPRINT = "0f" * 32
INSTALLED = {
    "source": "c4",
    "fingerprint_sha256": FINGERPRINT,
    "not_after": "2026-05-30T00:00:00Z",
    "state": "active",
}
RECORD = {
    "domain": NAME,
    "cname_target": f"{NAME}.cdn.example.net",
    "ports": [80, 443],
    "certificate": INSTALLED,
}
ABSENT: Any = object()


@cache
def _bundle() -> Bundle:
    ca = trustme.CA()
    pair = ca.issue_cert(NAME)
    return Bundle(
        certificate=pair.cert_chain_pems[0].bytes().decode(),
        chain=ca.cert_pem.bytes().decode(),
        private_key=pair.private_key_pem.bytes().decode(),
    )


def _fingerprint() -> str:
    return x509.read_leaf(_bundle().certificate).fingerprint


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def pauses() -> list[float]:
    """The pauses between the attempts of `client`, in seconds, which are recorded instead of sleeping."""
    return []


@pytest.fixture
def c4(pauses: list[float]) -> Iterator[responses.RequestsMock]:
    """A C4 without a socket. A test fails if it registers a response that the client does not request."""
    with responses.RequestsMock() as mock:
        yield mock
    assert all(pause < 6 for pause in pauses), "the longest Retry-After that a call waits for, with jitter"


@pytest.fixture
def client(token_file: Path, pauses: list[float]) -> Iterator[C4Client]:
    made = C4Client(f"{PLAIN_ADDRESS}/", token_file, None, 5, lambda: NOW, sleep=pauses.append)
    with closing(made) as client:
        yield client


def _problem(code: str, status: int, detail: str = "") -> dict[str, Any]:
    body = {"title": "A title", "status": status, "code": code, "detail": detail}
    return {"status": status, "body": json.dumps(body), "content_type": PROBLEM}


def _only_a_code(code: str, status: int) -> dict[str, Any]:
    return {"status": status, "body": json.dumps({"code": code}), "content_type": PROBLEM}


CALLS: dict[str, tuple[str, str, Callable[[C4Client], object]]] = {
    "domain": ("GET", DOMAIN_URL, lambda client: client.domain(NAME)),
    "upload": ("PUT", CERTIFICATE_URL, lambda client: client.upload(NAME, _bundle(), Source.C4)),
    "certificate": ("GET", CERTIFICATE_URL, lambda client: client.certificate(NAME)),
    "remove": ("DELETE", CERTIFICATE_URL, lambda client: client.remove(NAME)),
    "health": ("GET", f"{PLAIN_ADDRESS}/v1/health", lambda client: client.health()),
}
ABOUT_A_DOMAIN = ("domain", "upload", "certificate", "remove")


# What the responses mean


def test_domain_returns_the_record_of_c4(client: C4Client, c4: responses.RequestsMock) -> None:
    c4.get(DOMAIN_URL, json=RECORD | {"more": "than the contract names"})
    installed = Installed(Source.C4, FINGERPRINT, datetime(2026, 5, 30, tzinfo=UTC), State.ACTIVE)
    assert client.domain(NAME) == Record(NAME, f"{NAME}.cdn.example.net", frozenset({80, 443}), installed)
    assert c4.calls[0].request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert c4.calls[0].request.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("customer", "read"),
    [("acme", "acme"), ("", ""), (None, ""), (7, ""), (["acme"], ""), ("a\x1b[31mb", ""), ("x" * 101, "")],
)
def test_domain_ignores_an_unusable_customer(
    client: C4Client, c4: responses.RequestsMock, customer: object, read: str
) -> None:
    c4.get(DOMAIN_URL, json=RECORD | {"customer": customer})
    assert client.domain(NAME).customer == read


def test_domain_accepts_a_record_without_a_certificate(client: C4Client, c4: responses.RequestsMock) -> None:
    c4.get(DOMAIN_URL, json=RECORD | {"certificate": None, "ports": []})
    record = client.domain(NAME)
    assert record.certificate is None
    assert record.ports == frozenset()


def test_upload_sends_the_pair_with_its_fingerprint_as_idempotency_key(
    client: C4Client, c4: responses.RequestsMock
) -> None:
    c4.put(CERTIFICATE_URL, json=INSTALLED | {"fingerprint_sha256": _fingerprint()})
    assert client.upload(NAME, _bundle(), Source.TEXT) is State.ACTIVE
    request = c4.calls[0].request
    assert request.headers["Idempotency-Key"] == _fingerprint()
    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(request.body or b"") == {
        "source": "text",
        "certificate": _bundle().certificate,
        "chain": _bundle().chain,
        "private_key": _bundle().private_key,
        "fingerprint_sha256": _fingerprint(),
    }


def test_upload_returns_activating_after_202(client: C4Client, c4: responses.RequestsMock) -> None:
    answer = INSTALLED | {"fingerprint_sha256": _fingerprint(), "state": "activating"}
    c4.put(CERTIFICATE_URL, status=202, json=answer)
    assert client.upload(NAME, _bundle(), Source.C4) is State.ACTIVATING


def test_upload_raises_unanswered_when_the_response_has_another_fingerprint(
    client: C4Client, c4: responses.RequestsMock
) -> None:
    c4.put(CERTIFICATE_URL, json=INSTALLED)
    with pytest.raises(Unanswered, match="another certificate"):
        client.upload(NAME, _bundle(), Source.C4)


def test_certificate_returns_times_in_utc(client: C4Client, c4: responses.RequestsMock) -> None:
    c4.get(CERTIFICATE_URL, json=INSTALLED | {"not_after": "2026-05-30T08:00:00.5+08:00"})
    installed = client.certificate(NAME)
    assert installed is not None
    assert installed.not_after == datetime(2026, 5, 30, 0, 0, 0, 500000, tzinfo=UTC)
    assert installed.not_after.tzinfo is UTC


def test_certificate_returns_none_and_remove_returns_false_without_a_certificate(
    client: C4Client, c4: responses.RequestsMock
) -> None:
    c4.get(CERTIFICATE_URL, **_problem("no_certificate", 404))
    c4.delete(CERTIFICATE_URL, **_problem("no_certificate", 404))
    assert client.certificate(NAME) is None
    assert client.remove(NAME) is False


def test_remove_returns_true_after_204(client: C4Client, c4: responses.RequestsMock) -> None:
    c4.delete(CERTIFICATE_URL, status=204)
    assert client.remove(NAME) is True


def test_health_raises_unanswered_unless_c4_reports_ok(client: C4Client, c4: responses.RequestsMock) -> None:
    c4.get(f"{PLAIN_ADDRESS}/v1/health", json={"status": "ok"})
    client.health()
    c4.get(f"{PLAIN_ADDRESS}/v1/health", json={"status": "draining"})
    with pytest.raises(Unanswered, match="health is not ok"):
        client.health()


@pytest.mark.parametrize("call", ABOUT_A_DOMAIN)
def test_call_raises_unknown_domain_after_a_404_with_that_code(
    client: C4Client, c4: responses.RequestsMock, call: str
) -> None:
    method, url, ask = CALLS[call]
    c4.add(method, url, **_problem("unknown_domain", 404))
    with pytest.raises(UnknownDomain):
        ask(client)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "answer",
    [
        {"status": 404, "body": "<h1>Not Found</h1>", "content_type": "text/html"},
        {"status": 404, "body": json.dumps({"code": "unknown_domain"}), "content_type": "application/json"},
        {"status": 404, "body": '["unknown_domain"]', "content_type": PROBLEM},
        {"status": 404, "body": "", "content_type": PROBLEM},
        _problem("not_found", 404),
        _problem("unknown_domain", 410) | {"status": 500},
    ],
    ids=["html", "another content type", "no object", "empty", "another code", "500"],
)
def test_call_raises_unanswered_after_a_404_that_is_not_from_c4(
    client: C4Client, c4: responses.RequestsMock, call: str, answer: dict[str, Any]
) -> None:
    method, url, ask = CALLS[call]
    c4.add(method, url, **answer)
    with pytest.raises(Unanswered):
        ask(client)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("content_type", [PROBLEM, "text/html"])
def test_call_raises_unauthorized_after_401_or_403(
    client: C4Client, c4: responses.RequestsMock, call: str, status: int, content_type: str
) -> None:
    method, url, ask = CALLS[call]
    c4.add(method, url, **_problem("unauthorized", status) | {"content_type": content_type})
    with pytest.raises(Unauthorized, match=f"^answered {status}"):
        ask(client)


def test_upload_raises_text_certificate_present_after_409_with_that_code(
    client: C4Client, c4: responses.RequestsMock
) -> None:
    c4.put(CERTIFICATE_URL, **_problem("text_certificate_present", 409))
    with pytest.raises(TextCertificatePresent):
        client.upload(NAME, _bundle(), Source.C4)


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "bad_request"), (409, "locked"), (413, "too_large"), (422, "bad_pair"), (422, "name_mismatch")],
)
def test_upload_raises_rejected_with_the_code_of_c4(
    client: C4Client, c4: responses.RequestsMock, status: int, code: str
) -> None:
    c4.put(CERTIFICATE_URL, **_problem(code, status, "What is wrong."))
    with pytest.raises(Rejected, match=f"^answered {status}: {code}: What is wrong$") as caught:
        client.upload(NAME, _bundle(), Source.C4)
    assert caught.value.code == code


def test_upload_raises_rejected_without_a_code_after_a_refusal_by_a_gateway(
    client: C4Client, c4: responses.RequestsMock
) -> None:
    c4.put(CERTIFICATE_URL, status=413, body="<html>", content_type="text/html")
    with pytest.raises(Rejected, match=r"^answered 413$") as caught:
        client.upload(NAME, _bundle(), Source.C4)
    assert caught.value.code == ""


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599, 300, 304, 206])
def test_call_raises_unanswered_after_a_status_that_decides_nothing(
    client: C4Client, c4: responses.RequestsMock, call: str, status: int
) -> None:
    method, url, ask = CALLS[call]
    c4.add(method, url, status=status)
    with pytest.raises(Unanswered, match=f"^answered {status}"):
        ask(client)


@pytest.mark.parametrize("status", [400, 405, 409, 422])
@pytest.mark.parametrize("call", ["domain", "certificate", "remove", "health"])
def test_call_other_than_upload_raises_unanswered_after_a_4xx_status(
    client: C4Client, c4: responses.RequestsMock, call: str, status: int
) -> None:
    method, url, ask = CALLS[call]
    c4.add(method, url, **_problem("text_certificate_present", status))
    with pytest.raises(Unanswered):
        ask(client)


@pytest.mark.parametrize("call", ["domain", "upload", "certificate", "health"])
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("<html>Please log in</html>", "text/html"),
        (json.dumps(RECORD | INSTALLED), "text/plain"),
        ("{", "application/json"),
        ("", "application/json"),
        ("[]", "application/json"),
        ("null", "application/json"),
        ("[" * 200_000, "application/json"),
        ('{"domain": ' + "9" * 5000 + "}", "application/json"),
        (b"\xff\xfe\xfa", "application/json"),
    ],
    ids=["html", "text", "incomplete", "empty", "list", "null", "deep nesting", "huge number", "no UTF-8"],
)
def test_call_raises_unanswered_after_a_200_that_is_not_a_json_object(
    client: C4Client, c4: responses.RequestsMock, call: str, body: str | bytes, content_type: str
) -> None:
    method, url, ask = CALLS[call]
    c4.add(method, url, body=body, content_type=content_type)
    with pytest.raises(Unanswered, match=r"^answered 200 "):
        ask(client)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("domain", ABSENT),
        ("domain", "other.example.com"),
        ("domain", NAME.upper()),
        ("cname_target", ABSENT),
        ("cname_target", None),
        ("cname_target", ""),
        ("cname_target", "edge\x1b[31m.example.net"),
        ("cname_target", "a" * 254),
        ("ports", ABSENT),
        ("ports", 443),
        ("ports", {"80": True}),
        ("ports", ["80"]),
        ("ports", [True]),
        ("ports", [80.0]),
        ("ports", [0]),
        ("ports", [65536]),
        ("certificate", ABSENT),
        ("certificate", []),
        ("certificate", False),
    ],
    ids=lambda value: "absent" if value is ABSENT else ascii(value)[:40],
)
def test_domain_raises_unanswered_for_a_record_that_violates_the_contract(
    client: C4Client, c4: responses.RequestsMock, member: str, value: object
) -> None:
    c4.get(DOMAIN_URL, json={k: v for k, v in (RECORD | {member: value}).items() if v is not ABSENT})
    with pytest.raises(Unanswered, match=r"^answered 200 with"):
        client.domain(NAME)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("source", ABSENT),
        ("source", "C4"),
        ("source", ["c4"]),
        ("state", ABSENT),
        ("state", "ready"),
        ("state", {}),
        ("fingerprint_sha256", ABSENT),
        ("fingerprint_sha256", FINGERPRINT.upper()),
        ("fingerprint_sha256", FINGERPRINT + "\n"),
        ("fingerprint_sha256", FINGERPRINT[:-1]),
        ("fingerprint_sha256", 7),
        ("not_after", ABSENT),
        ("not_after", 1767225600),
        ("not_after", "2026-05-30"),
        ("not_after", "2026-05-30T00:00:00"),
        ("not_after", "2026-W22-6T00:00:00Z"),
        ("not_after", "2026-02-30T00:00:00Z"),
        ("not_after", "0001-01-01T00:00:00+23:59"),
        ("not_after", "٢٠٢٦-05-30T00:00:00Z"),
    ],
    ids=lambda value: "absent" if value is ABSENT else ascii(value)[:40],
)
def test_call_raises_unanswered_for_a_certificate_that_violates_the_contract(
    client: C4Client, c4: responses.RequestsMock, member: str, value: object
) -> None:
    broken = {k: v for k, v in (INSTALLED | {member: value}).items() if v is not ABSENT}
    c4.get(CERTIFICATE_URL, json=broken)
    c4.get(DOMAIN_URL, json=RECORD | {"certificate": broken})
    for ask in (client.certificate, client.domain):
        with pytest.raises(Unanswered, match=f"^answered 200 without a usable {member}"):
            ask(NAME)


def test_domain_escapes_the_name_in_the_path(connect: Connect) -> None:
    with Misbehaving(_answer(404, {"code": "unknown_domain"})) as server:
        client = connect(server)
        for name, path in (("a/../b?c#d", "a%2F..%2Fb%3Fc%23d"), ("bücher.de", "b%C3%BCcher.de")):
            with pytest.raises(UnknownDomain):
                client.domain(name)
            assert server.requests[-1].startswith(f"GET /v1/domains/{path} HTTP/1.1\r\n".encode())
        for name in ("", ".", ".."):
            with pytest.raises(ValueError, match="not the name"):
                client.domain(name)
        assert len(server.requests) == 2


def test_error_text_of_c4_is_cleaned_and_contains_no_secret(
    client: C4Client, c4: responses.RequestsMock
) -> None:
    key_line = _bundle().private_key.splitlines()[1]
    for status, expected in ((422, Rejected), (500, Unanswered), (401, Unauthorized)):
        detail = f"\x1b[31mno\n {TOKEN} and {_bundle().private_key}"
        c4.put(CERTIFICATE_URL, **_problem("bad_pair", status, detail))
        with pytest.raises(expected) as caught:
            client.upload(NAME, _bundle(), Source.C4)
        message = str(caught.value)
        assert message.startswith(f"answered {status}: bad_pair: no [hidden] and")
        assert TOKEN not in message
        assert key_line not in message
        assert message.isprintable()
        assert len(message) < 250


# The token and the CAs


@pytest.mark.parametrize(
    "text", ["", "\n", "two words", "two\nlines", "tab\there", "bücher", "\x00", "a" * 5000, "\x1b[31m"]
)
def test_client_refuses_a_token_that_is_not_one_printable_line(token_file: Path, text: str) -> None:
    token_file.write_text(text)
    with pytest.raises(ConfigError, match=r"^c4\.token_file: .* one line of printable ASCII$") as caught:
        C4Client(ADDRESS, token_file, None, 5, lambda: NOW)
    assert text.strip("\x00\n") == "" or text not in caught.value.message


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_client_reads_a_token_file_with_a_byte_order_mark(
    token_file: Path, encoding: str, c4: responses.RequestsMock
) -> None:
    token_file.write_bytes(f"{TOKEN}\r\n".encode(encoding))
    with closing(C4Client(f"{PLAIN_ADDRESS}/", token_file, None, 5, lambda: NOW)) as client:
        c4.get(f"{PLAIN_ADDRESS}/v1/health", json={"status": "ok"})
        client.health()
    assert c4.calls[0].request.headers["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o601, 0o644, 0o777])
def test_client_refuses_a_token_file_that_everyone_can_access(token_file: Path, mode: int) -> None:
    token_file.chmod(mode)
    with pytest.raises(ConfigError, match=r"^c4\.token_file: everyone has access to ") as caught:
        C4Client(ADDRESS, token_file, None, 5, lambda: NOW)
    assert caught.value.hint == f"chmod 600 {token_file}"


def test_client_accepts_a_group_readable_token_file(token_file: Path) -> None:
    token_file.chmod(0o640)
    C4Client(ADDRESS, token_file, None, 5, lambda: NOW)


def test_client_names_missing_or_unusable_settings(tmp_path: Path, token_file: Path) -> None:
    table: list[tuple[str, Path | None, Path | None, str]] = [
        ("", token_file, None, "c4.base_url is not set"),
        (ADDRESS, None, None, "c4.token_file is not set"),
        (ADDRESS, tmp_path / "none", None, "c4.token_file: .*none cannot be read"),
        (ADDRESS, tmp_path, None, "c4.token_file: .* cannot be read"),
        (ADDRESS, token_file, tmp_path / "none", "c4.ca_bundle: .*none is not a readable PEM file"),
        (ADDRESS, token_file, token_file, "c4.ca_bundle: .* is not a readable PEM file"),
    ]
    for base_url, token, ca_bundle, message in table:
        with pytest.raises(ConfigError, match=message):
            C4Client(base_url, token, ca_bundle, 5, lambda: NOW)


# A server on a real socket


class EveryDomain(Misbehaving):
    """A server that has a record of every domain that is requested."""

    def __init__(self) -> None:
        super().__init__(_answer())

    def choose(self, request: bytes) -> Behaviour:
        name = request.split(b" ", 2)[1].rpartition(b"/")[2].decode()
        return _answer(body=RECORD | {"domain": name})


def _answer(status: int = 200, body: object = RECORD, headers: str = "") -> Behaviour:
    return answering(status, body, headers)


@pytest.fixture
def connect(token_file: Path) -> Iterator[Callable[..., C4Client]]:
    with ExitStack() as opened:

        def make(server: Misbehaving, timeout_seconds: float = 5, ca_bundle: Path | None = None) -> C4Client:
            made = C4Client(server.url, token_file, ca_bundle, timeout_seconds, lambda: NOW)
            return opened.enter_context(closing(made))

        yield make


Connect = Callable[..., C4Client]


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        pytest.param(silence, "no complete response in time", id="silence"),
        pytest.param(dripping(b"HTTP/1.1 200", b"x"), "no complete response in time", id="status line drips"),
        pytest.param(
            dripping(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"), "no complete response in time", id="headers drip"
        ),
        pytest.param(
            dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "no complete response in time", id="100 drips"
        ),
        pytest.param(
            dripping(http_head(200, GIGABYTE), b" "), "no complete response in time", id="body drips"
        ),
        pytest.param(
            dripping(http_head(200), b" "), "no complete response in time", id="body without length drips"
        ),
        pytest.param(
            dripping(http_head(200, "Transfer-Encoding: chunked\r\n"), b"1\r\n \r\n"),
            "no complete response in time",
            id="chunks drip",
        ),
        pytest.param(
            dripping(http_head(302, f"Location: /\r\n{GIGABYTE}"), b" "),
            "no complete response in time",
            id="body of a redirect drips",
        ),
    ],
)
def test_call_times_out_for_every_kind_of_slow_response(
    connect: Connect, behaviour: Behaviour, message: str
) -> None:
    with Misbehaving(behaviour) as server:
        with pytest.raises(Unanswered, match=f"^{message}$"):
            connect(server, timeout_seconds=0.3).domain(NAME)
        assert len(server.requests) == 1, "the time is used up; there is no second attempt"


def test_call_allows_the_timeout_for_head_and_body_each(connect: Connect) -> None:
    content = json.dumps(RECORD).encode()
    pieces = http_head(200, f"Content-Length: {len(content)}\r\n"), content
    later = in_turn(*(partial(send_after, 1.2, piece) for piece in pieces))
    with Misbehaving(later) as server:
        assert connect(server, timeout_seconds=2).domain(NAME).name == NAME


def test_call_does_not_wait_for_the_body_of_a_response_that_is_retried(connect: Connect) -> None:
    """The client does not wait even to keep the connection."""
    with Misbehaving(dripping(http_head(503, GIGABYTE), b" "), _answer()) as server:
        assert connect(server, timeout_seconds=0.3).domain(NAME).name == NAME
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("head", "requests"),
    [
        pytest.param(http_head(200, GIGABYTE), 1, id="claimed"),
        pytest.param(http_head(200), 1, id="without length"),
        pytest.param(http_head(302, f"Location: https://other.example/\r\n{GIGABYTE}"), 1, id="redirect"),
        pytest.param(http_head(404, GIGABYTE, PROBLEM), 1, id="problem"),
        pytest.param(http_head(503, GIGABYTE), 3, id="tried again"),
    ],
)
def test_call_does_not_read_a_huge_body_to_its_end(connect: Connect, head: bytes, requests: int) -> None:
    with (
        Misbehaving(flooding(head)) as server,
        pytest.raises(Unanswered, match=r"^answered \d+ with over 1048576 bytes$"),
    ):
        connect(server).domain(NAME)
    assert server.sent < 1 << 27, "only what fits into the socket buffers, not the gigabyte"
    assert len(server.requests) == requests


@pytest.mark.parametrize(
    ("head", "message"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nA: ", "the server does not speak HTTP", id="header"),
        pytest.param(
            http_head(200, "Transfer-Encoding: chunked\r\n") + b"-1\r\n",
            "answered 200 with over 1048576 bytes",
            id="chunk of less than nothing",
        ),
        pytest.param(
            http_head(200, "Transfer-Encoding: chunked\r\n") + b"-2\r\n",
            "the server does not speak HTTP",
            id="chunk of even less",
        ),
    ],
)
def test_call_does_not_read_endless_headers_or_negative_chunks(
    connect: Connect, head: bytes, message: str
) -> None:
    with Misbehaving(flooding(head)) as server, pytest.raises(Unanswered, match=f"^{message}$"):
        connect(server).domain(NAME)
    assert server.sent < 1 << 27


def test_upload_times_out_when_the_server_does_not_read(token_file: Path) -> None:
    large = replace(_bundle(), chain=" " * (1 << 26))
    # Nothing accepts the connection, so the kernel takes only what fits into its buffers.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        client = C4Client(url, token_file, None, 0.3, lambda: NOW)
        with pytest.raises(Unanswered, match=r"^no complete response in time$"):
            client.upload(NAME, large, Source.C4)


@pytest.mark.parametrize("text", ["a", "A", "=", "a ", "\x1b[", "aaaaaaaaaaaaaaa "], ids=ascii)
def test_call_handles_a_very_long_error_text_quickly(
    client: C4Client, c4: responses.RequestsMock, text: str
) -> None:
    detail = (text * 900_000)[: 900_000 // len(json.dumps(text)[1:-1]) * len(text)]
    c4.get(DOMAIN_URL, **_problem("internal", 500, detail))
    began = time.monotonic()
    with pytest.raises(Unanswered, match=r"^answered 500: internal"):
        client.domain(NAME)
    assert time.monotonic() - began < 3


def test_call_does_not_decompress_a_response(connect: Connect) -> None:
    bomb = gzip.compress(json.dumps(RECORD).encode())
    head = http_head(200, f"Content-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n")
    with (
        Misbehaving(sending(head + bomb)) as server,
        pytest.raises(Unanswered, match=r"^answered 200 with something that is not a JSON object$"),
    ):
        connect(server).domain(NAME)
    assert b"\r\nAccept-Encoding: identity\r\n" in server.requests[0]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (http_head(200, "Content-Length: 500\r\n") + b'{"domain"', "the response was cut short"),
        (http_head(200, "Transfer-Encoding: chunked\r\n") + b"5\r\n{", "the response was cut short"),
        (http_head(200, "Transfer-Encoding: chunked\r\n") + b"zz\r\n{", "the response was cut short"),
        (http_head(200) + b'{"domain"', "answered 200 with something that is not a JSON object"),
        (b"HTTP/1.1 200 OK\r\nContent-Ty", "answered 200 with no content type instead of JSON"),
        (b"", "connection closed without a response"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the server does not speak HTTP"),
    ],
)
def test_call_raises_unanswered_for_a_truncated_or_invalid_response(
    connect: Connect, data: bytes, message: str
) -> None:
    with Misbehaving(sending(data)) as server, pytest.raises(Unanswered, match=f"^{message}$"):
        connect(server).domain(NAME)


def test_call_retries_a_broken_connection(connect: Connect) -> None:
    with Misbehaving(reset, sending(b""), _answer()) as server:
        assert connect(server).domain(NAME).name == NAME
        assert len(server.requests) == 3


def test_call_raises_unanswered_after_three_broken_connections(connect: Connect) -> None:
    with Misbehaving(reset) as server:
        with pytest.raises(Unanswered, match=r"^connection closed without a response$"):
            connect(server).upload(NAME, _bundle(), Source.C4)
        assert len(server.requests) == 3


def test_call_raises_unanswered_when_the_connection_is_refused(connect: Connect) -> None:
    with Misbehaving(silence) as server:
        client = connect(server)
    with pytest.raises(Unanswered, match=r"^connection refused$"):
        client.domain(NAME)


def test_call_raises_unanswered_when_the_host_name_cannot_be_resolved(token_file: Path) -> None:
    client = C4Client(f"https://{'a' * 64}.example", token_file, None, 5, lambda: NOW)
    with pytest.raises(Unanswered, match=r"^its host name could not be resolved$"):
        client.domain(NAME)


def test_call_never_follows_a_redirect(client: C4Client, c4: responses.RequestsMock) -> None:
    elsewhere = f"https://elsewhere.example.net/v1/domains/{NAME}"
    for status in (301, 302, 303, 307, 308):
        for method, url, ask in (CALLS[call] for call in ABOUT_A_DOMAIN):
            c4.add(method, url, status=status, headers={"Location": elsewhere})
            with pytest.raises(Unanswered, match=f"^answered {status}: a redirect"):
                ask(client)
    assert len(c4.calls) == 5 * len(ABOUT_A_DOMAIN)
    assert {call.request.url for call in c4.calls} == {DOMAIN_URL, CERTIFICATE_URL}


@pytest.mark.parametrize("status", [429, 502, 503, 504])
@pytest.mark.parametrize("headers", [{}, {"Retry-After": "0"}, {"Retry-After": "soon"}])
def test_call_retries_a_temporary_status(
    client: C4Client, c4: responses.RequestsMock, status: int, headers: dict[str, str]
) -> None:
    c4.get(DOMAIN_URL, status=status, headers=headers)
    c4.get(DOMAIN_URL, json=RECORD)
    assert client.domain(NAME).name == NAME
    assert len(c4.calls) == 2


def test_call_waits_for_the_retry_after_before_it_retries(connect: Connect) -> None:
    asked_at: list[float] = []

    def be_busy_for_a_second(sock: socket.socket, server: Misbehaving) -> None:
        asked_at.append(time.monotonic())
        if asked_at[-1] - asked_at[0] >= 1:
            _answer()(sock, server)
        elif len(asked_at) == 1:
            _answer(503, {}, "Retry-After: 1\r\n")(sock, server)
        else:
            _answer(422, {}, "")(sock, server)

    with Misbehaving(be_busy_for_a_second) as server:
        assert connect(server).domain(NAME).name == NAME


def test_call_raises_unanswered_after_three_attempts(
    client: C4Client, c4: responses.RequestsMock, pauses: list[float]
) -> None:
    c4.get(DOMAIN_URL, **_only_a_code("unavailable", 503), headers={"Retry-After": "0"})
    with pytest.raises(Unanswered, match=r"^answered 503: unavailable$") as caught:
        client.domain(NAME)
    assert len(c4.calls) == 3
    assert caught.value.retry_at == NOW
    (pause,) = pauses
    assert 0.4 <= pause <= 0.6, "the second attempt is immediate, the third waits for a moment"


def test_upload_is_not_retried_after_a_refusal(client: C4Client, c4: responses.RequestsMock) -> None:
    for attempts, status in enumerate((413, 422), 1):
        c4.put(CERTIFICATE_URL, **_problem("too_large", status), headers={"Retry-After": "1"})
        with pytest.raises(Rejected):
            client.upload(NAME, _bundle(), Source.C4)
        assert len(c4.calls) == attempts


def test_call_is_not_retried_after_a_500(client: C4Client, c4: responses.RequestsMock) -> None:
    c4.get(DOMAIN_URL, **_only_a_code("internal", 500))
    with pytest.raises(Unanswered, match=r"^answered 500: internal$") as caught:
        client.domain(NAME)
    assert len(c4.calls) == 1
    assert caught.value.retry_at is None


@pytest.mark.parametrize("status", [429, 503, 413])
@pytest.mark.parametrize(
    ("retry_after", "after"),
    [
        ("3600", timedelta(hours=1)),
        ("6", timedelta(seconds=6)),
        ("99999999999999999999", timedelta(days=1)),
        ("Sun, 01 Mar 2026 13:00:00 GMT", timedelta(hours=1)),
        ("Sunday, 01-Mar-26 13:00:00 GMT", timedelta(hours=1)),
        ("Sun Mar  1 13:00:00 2026", timedelta(hours=1)),
        ("Sun, 01 Mar 2099 13:00:00 GMT", timedelta(days=1)),
    ],
    ids=str,
)
def test_call_returns_a_long_retry_after_as_retry_at_without_a_retry(
    client: C4Client, c4: responses.RequestsMock, status: int, retry_after: str, after: timedelta
) -> None:
    c4.get(DOMAIN_URL, status=status, headers={"Retry-After": retry_after})
    with pytest.raises(Unanswered, match=f"^answered {status}$") as caught:
        client.domain(NAME)
    assert caught.value.retry_at == NOW + after
    assert len(c4.calls) == 1


@given(st.text(max_size=40) | st.from_regex(r"\w{3}, \d{1,3} \w{3} \d{1,6} \d\d:\d\d:\d\d .{0,6}"))
def test_retry_time_is_within_a_day_or_none_for_any_text(value: str) -> None:
    at = retry_time(value, NOW)
    assert at is None or NOW <= at <= NOW + timedelta(days=1)


# TLS


@contextmanager
def _tls_server(ca: trustme.CA, name: str) -> Iterator[Misbehaving]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(name).configure_cert(context)
    with Misbehaving(_answer(), tls=context) as server:
        yield server


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_client_reads_cas_from_a_file_with_a_byte_order_mark(
    connect: Connect, tmp_path: Path, encoding: str
) -> None:
    ca, bundle = trustme.CA(), tmp_path / "ca.pem"
    bundle.write_bytes(ca.cert_pem.bytes().decode().encode(encoding))
    with _tls_server(ca, "127.0.0.1") as server:
        assert connect(server, ca_bundle=bundle).domain(NAME).name == NAME


def test_client_trusts_only_the_configured_cas(connect: Connect, tmp_path: Path) -> None:
    ca, stranger = trustme.CA(), trustme.CA()
    bundles = {}
    for label, authority in (("own", ca), ("strange", stranger)):
        bundles[label] = tmp_path / f"{label}.pem"
        authority.cert_pem.write_to_path(str(bundles[label]))
    with _tls_server(ca, "127.0.0.1") as server:
        assert connect(server, ca_bundle=bundles["own"]).domain(NAME).name == NAME
        for bundle in (bundles["strange"], None):
            with pytest.raises(Unanswered, match=r"^TLS: its certificate is not trusted \("):
                connect(server, ca_bundle=bundle).domain(NAME)
        assert len(server.requests) == 1
        assert server.connections == 3, "an untrusted certificate is not tried again"
    with _tls_server(ca, "other.example.net") as server:
        with pytest.raises(Unanswered, match=r"^TLS: its certificate is for another name$"):
            connect(server, ca_bundle=bundles["own"]).domain(NAME)
        assert server.requests == []


@pytest.mark.parametrize(
    "behaviour",
    [dripping(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"), dripping(http_head(200, GIGABYTE), b" ")],
    ids=["headers drip", "body drips"],
)
def test_call_times_out_over_tls_for_a_slow_response(
    connect: Connect, tmp_path: Path, behaviour: Behaviour
) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    with (
        Misbehaving(behaviour, tls=context) as server,
        pytest.raises(Unanswered, match=r"^no complete response in time$"),
    ):
        connect(server, timeout_seconds=0.3, ca_bundle=tmp_path / "ca.pem").domain(NAME)


def test_client_ignores_sslkeylogfile(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with _tls_server(ca, "127.0.0.1") as server:
        connect(server, ca_bundle=tmp_path / "ca.pem").domain(NAME)
    assert not (tmp_path / "keys").exists()


def test_call_times_out_when_the_server_speaks_plain_http(token_file: Path) -> None:
    with Misbehaving(_answer()) as server:
        url = server.url.replace("http:", "https:")
        # The server waits for the end of a request that never comes, so only the timeout ends the handshake.
        client = C4Client(url, token_file, None, 0.3, lambda: NOW)
        with pytest.raises(Unanswered, match=r"^no complete response in time$"):
            client.domain(NAME)
        assert server.requests == []


# The environment, threads and traces


def test_client_ignores_proxies_and_netrc_of_the_environment(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    netrc.chmod(0o600)
    with Misbehaving(_answer()) as proxy, Misbehaving(_answer()) as server:
        for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(variable, proxy.url)
        monkeypatch.setenv("NETRC", str(netrc))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
        connect(server).domain(NAME)
        assert proxy.connections == 0
        assert f"Authorization: Bearer {TOKEN}".encode() in server.requests[0]


def test_client_keeps_no_cookies(connect: Connect) -> None:
    with Misbehaving(_answer(headers="Set-Cookie: a=b; Path=/\r\n")) as server:
        client = connect(server)
        client.domain(NAME)
        client.domain(NAME)
        assert b"cookie" not in server.requests[1].lower()


def test_client_connections_are_shared_by_threads_and_kept(connect: Connect) -> None:
    with EveryDomain() as server:
        client = connect(server)
        names = [f"n{number}.example.com" for number in range(16)]

        def ask(name: str) -> int:
            # A record of another name would raise.
            return sum(client.domain(name).name == name for _ in range(20))

        with ThreadPoolExecutor(16) as pool:
            assert list(pool.map(ask, names)) == [20] * 16
        assert 1 <= server.connections <= 16
        kept = server.connections
        client.domain(names[0])
        assert server.connections == kept


def test_client_replaces_a_connection_that_c4_closed(connect: Connect) -> None:
    with Misbehaving(in_turn(_answer(), sending(b"")), _answer()) as server:
        client = connect(server)
        for _ in range(2):
            assert client.domain(NAME).name == NAME
        assert server.connections == 2


def test_client_ignores_an_unsolicited_response_on_a_kept_connection(connect: Connect) -> None:
    is_read, is_sent = threading.Event(), threading.Event()
    forged = _answer(body=RECORD | {"cname_target": "forged.example.net"})
    forge = in_turn(_answer(), lambda *_: is_read.wait(10), forged, lambda *_: is_sent.set())
    with Misbehaving(forge, _answer()) as server:
        client = connect(server)
        client.domain(NAME)
        is_read.set()
        assert is_sent.wait(10)
        assert client.domain(NAME).cname_target == RECORD["cname_target"]


def test_close_closes_the_kept_connections(connect: Connect) -> None:
    with Misbehaving(_answer()) as server:
        client = connect(server)
        client.domain(NAME)
        client.close()
        _, serving = server._threads
        serving.join(10)
        assert not serving.is_alive()


def test_client_leaves_no_trace_of_the_token_or_the_key(
    connect: Connect, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    key_line = _bundle().private_key.splitlines()[1]
    with Misbehaving(
        _answer(503, {}, "Retry-After: 0\r\n"), reset, dripping(http_head(200, GIGABYTE), b" ")
    ) as server:
        client = connect(server, timeout_seconds=0.3)
        with pytest.raises(Unanswered) as caught:
            client.upload(NAME, _bundle(), Source.C4)
    written = capfd.readouterr()
    traces = (
        caplog.text,
        repr(client),
        repr(vars(caught.value)),
        str(caught.value),
        written.out,
        written.err,
    )
    assert len(server.requests) == 3
    for trace in traces:
        assert TOKEN not in trace
        assert key_line not in trace
    assert caught.value.__cause__ is None, "the request must not come along in a traceback"
    assert caught.value.__suppress_context__


def test_c4_client_satisfies_the_control_plane_protocol(client: C4Client) -> None:
    control_plane: ControlPlane = client
    assert control_plane is client


@pytest.mark.parametrize(
    "twist",
    [
        lambda text: text[30:160],
        lambda text: "\n".join(text[start : start + 60] for start in range(4, 200, 60)),
        lambda text: text.encode().hex(),
        lambda text: quote(text, safe=""),
    ],
    ids=["cut", "wrapped anew", "hex", "percent"],
)
def test_error_does_not_repeat_a_key_that_c4_echoes_in_another_form(
    client: C4Client, c4: responses.RequestsMock, twist: Callable[[str], str]
) -> None:
    key = "".join(_bundle().private_key.splitlines()[1:-1])
    c4.put(CERTIFICATE_URL, **_problem("bad_pair", 422, f"cannot use {twist(key)} there"))
    with pytest.raises(Rejected) as caught:
        client.upload(NAME, _bundle(), Source.C4)
    shown = str(caught.value)
    assert not [part for part in (twist(key)[start : start + 16] for start in range(100)) if part in shown]


@pytest.mark.parametrize("member", ["code", "content type"])
def test_error_does_not_repeat_a_token_in_a_code_or_content_type(
    client: C4Client, c4: responses.RequestsMock, member: str
) -> None:
    if member == "code":
        c4.get(DOMAIN_URL, **_problem("0123canary77", 500))
    else:
        c4.get(DOMAIN_URL, body="{}", content_type="0123canary77")
    with pytest.raises(Unanswered) as caught:
        client.domain(NAME)
    assert "canary" not in str(caught.value)
