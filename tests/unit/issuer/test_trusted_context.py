"""The roots that verify the CA's server are read once, and never others than those of the file that is named."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
import trustme

from sslctl.issuer.certbot import trusted_context
from sslctl.issuer.certbot.acme_client import Observer
from tests.support.relays import StreamRelay
from tests.support.webhook import Webhook


@pytest.fixture
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def bundle(ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of roots, and forget afterwards what was read of it."""
    path = tmp_path / "roots.pem"
    _write(path, ca)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
    monkeypatch.setattr(trusted_context, "_prepared", None)
    monkeypatch.setattr(Observer, "nonces", set(), raising=False)
    return path


def _write(path: Path, ca: trustme.CA) -> None:
    """Put the root of `ca` in the place of what is there, as those who update roots do."""
    new = path.with_suffix(".new")
    new.write_bytes(ca.cert_pem.bytes())
    new.replace(path)


def _server(ca: trustme.CA, name: str = "127.0.0.1") -> Webhook:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(name).configure_cert(context)
    return Webhook(context)


@contextmanager
def _proxy() -> Iterator[tuple[str, list[str]]]:
    """Run a proxy; yield its URL, and the addresses that it was asked for."""
    asked: list[str] = []

    def connect(client: socket.socket) -> socket.socket:
        question = b""
        while not question.endswith(b"\r\n\r\n"):
            question += client.recv(1)
        asked.append(question.split()[1].decode())
        host, _, port = asked[-1].partition(":")
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        return socket.create_connection((host, int(port)))

    with StreamRelay(socket.create_server(("127.0.0.1", 0)), connect) as proxy:
        threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{proxy.socket.getsockname()[1]}", asked
        proxy.shutdown()


def _get(session: requests.Session, server: Webhook) -> int:
    return session.get(f"https://{server.address}/", timeout=5).status_code


def test_session_uses_the_roots_that_were_read_before(ca: trustme.CA, bundle: Path) -> None:
    trusted_context.prepare()
    session = Observer().session
    later = trustme.CA()
    _write(bundle, later)
    with _server(ca) as server:
        assert _get(session, server) == 200
    with _server(later) as server, pytest.raises(requests.exceptions.SSLError):
        _get(session, server)


def test_roots_that_were_changed_or_not_read_are_read_by_requests(ca: trustme.CA, bundle: Path) -> None:
    other = trustme.CA()
    trusted_context.prepare()
    _write(bundle, other)
    session = Observer().session
    with _server(other) as server:
        assert _get(session, server) == 200
    with _server(ca) as server, pytest.raises(requests.exceptions.SSLError):
        _get(session, server)


@pytest.mark.parametrize("content", ["", "no certificate"])
def test_file_without_roots_is_reported_by_the_request(ca: trustme.CA, bundle: Path, content: str) -> None:
    bundle.write_text(content)
    trusted_context.prepare()
    with _server(ca) as server, pytest.raises((OSError, requests.exceptions.RequestException)):
        _get(Observer().session, server)


def test_server_of_another_ca_or_name_is_not_trusted(ca: trustme.CA, bundle: Path) -> None:
    assert bundle.exists()
    trusted_context.prepare()
    for server in (_server(trustme.CA()), _server(ca, "other.example.net")):
        with server, pytest.raises(requests.exceptions.SSLError):
            _get(Observer().session, server)


def test_server_behind_a_proxy_is_verified_by_the_same_roots(
    ca: trustme.CA, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted_context.prepare()
    with _proxy() as (proxy, asked), _server(ca) as server, _server(trustme.CA()) as stranger:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        monkeypatch.setenv("NO_PROXY", "")
        session = Observer().session
        _write(bundle, trustme.CA())
        assert _get(session, server) == 200
        with pytest.raises(requests.exceptions.SSLError):
            _get(session, stranger)
        assert asked == [server.address, stranger.address]
