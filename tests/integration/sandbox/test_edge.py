"""The edge serves each domain's active certificate by SNI, and HTTP challenges from the webroot or the standalone port."""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
import trustme

from sslctl.sandbox.c4.server import ReferenceC4
from sslctl.sandbox.edge import Edge

TOKEN = "edge-token"
SHOP, WWW, BARE = "shop.example.com", "www.example.com", "bare.example.com"
CHALLENGES = "/.well-known/acme-challenge/"
CA = trustme.CA()


def der_of(leaf: trustme.LeafCert) -> bytes:
    return ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())


class SandboxCdn:
    """A C4 that activates certificates after a minute, its webroot, and a clock that can be moved."""

    def __init__(self, folder: Path) -> None:
        self.now = datetime.now(UTC)
        self.ca_file = folder / "ca.pem"
        CA.cert_pem.write_to_path(str(self.ca_file))
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        CA.issue_cert("127.0.0.1").configure_cert(tls)
        self.c4 = ReferenceC4(
            folder / "c4", token=TOKEN, tls=tls, clock=lambda: self.now, activation_seconds=60
        )
        self.webroot = folder / "webroot"
        (self.webroot / CHALLENGES.strip("/")).mkdir(parents=True)
        for domain in (SHOP, WWW, BARE):
            self.c4.create_domain(domain, cname_target=f"{domain}.cdn.example.net")

    def install(self, domain: str) -> bytes:
        """Upload a new certificate for `domain`; return its DER form."""
        leaf = CA.issue_cert(domain)
        fingerprint = hashlib.sha256(der_of(leaf)).hexdigest()
        body = {
            "source": "c4",
            "certificate": leaf.cert_chain_pems[0].bytes().decode(),
            "chain": CA.cert_pem.bytes().decode(),
            "private_key": leaf.private_key_pem.bytes().decode(),
            "fingerprint_sha256": fingerprint,
        }
        response = requests.put(
            f"{self.c4.url}/v1/domains/{domain}/certificate",
            json=body,
            headers={"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": fingerprint},
            verify=str(self.ca_file),
            timeout=20,
        )
        assert response.status_code == 202
        return der_of(leaf)

    def activate(self) -> None:
        self.now += timedelta(seconds=60)


@pytest.fixture
def cdn(tmp_path: Path) -> Iterator[SandboxCdn]:
    cdn = SandboxCdn(tmp_path)
    with cdn.c4:
        yield cdn


@pytest.fixture
def edge(cdn: SandboxCdn) -> Iterator[Edge]:
    with Edge(cdn.c4, cdn.webroot) as edge:
        yield edge


def handshake(edge: Edge, name: str | None, context: ssl.SSLContext | None = None) -> bytes:
    """Return the DER certificate that the edge presents to a client that asks for `name` and trusts the CA."""
    if context is None:
        context = ssl.create_default_context()
        context.check_hostname = name is not None
        CA.configure_trust(context)
    with (
        socket.create_connection(("127.0.0.1", edge.https_port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=name) as secure,
    ):
        certificate = secure.getpeercert(binary_form=True)
    assert certificate is not None
    return certificate


def get(port: int, path: str, host: str = SHOP) -> tuple[int, bytes, str | None]:
    """Return status, body and Location; the path is sent exactly as written."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.putrequest("GET", path, skip_host=True)
        connection.putheader("Host", host)
        connection.endheaders()
        response = connection.getresponse()
        return response.status, response.read(), response.getheader("Location")
    finally:
        connection.close()


def send(port: int, request: bytes) -> bytes:
    """Send `request` unchanged and return the whole response."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(4096), b""))


def test_edge_presents_the_certificate_of_the_requested_sni_name(cdn: SandboxCdn, edge: Edge) -> None:
    shop, www = cdn.install(SHOP), cdn.install(WWW)
    cdn.activate()
    assert handshake(edge, SHOP) == shop
    assert handshake(edge, WWW) == www
    assert handshake(edge, SHOP.upper()) == shop


def test_edge_serves_the_old_certificate_until_the_new_one_is_active(cdn: SandboxCdn, edge: Edge) -> None:
    old = cdn.install(SHOP)
    cdn.activate()
    new = cdn.install(SHOP)
    assert handshake(edge, SHOP) == old
    cdn.activate()
    assert handshake(edge, SHOP) == new


def test_edge_presents_the_current_certificate_to_a_client_that_resumes_a_session(
    cdn: SandboxCdn, edge: Edge
) -> None:
    context = ssl.create_default_context()
    CA.configure_trust(context)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    cdn.install(SHOP)
    cdn.activate()
    with (
        socket.create_connection(("127.0.0.1", edge.https_port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=SHOP) as secure,
    ):
        session = secure.session
    new = cdn.install(SHOP)
    cdn.activate()
    with (
        socket.create_connection(("127.0.0.1", edge.https_port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=SHOP, session=session) as secure,
    ):
        assert secure.getpeercert(binary_form=True) == new


@pytest.mark.parametrize("name", ["unknown.example.com", BARE, None])
def test_edge_sends_unrecognized_name_for_a_name_without_a_certificate(
    cdn: SandboxCdn, edge: Edge, name: str | None
) -> None:
    cdn.install(SHOP)
    cdn.activate()
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        handshake(edge, name)


def test_edge_stops_serving_a_removed_certificate(cdn: SandboxCdn, edge: Edge) -> None:
    cdn.install(SHOP)
    cdn.activate()
    handshake(edge, SHOP)
    requests.delete(
        f"{cdn.c4.url}/v1/domains/{SHOP}/certificate",
        headers={"Authorization": f"Bearer {TOKEN}"},
        verify=str(cdn.ca_file),
        timeout=20,
    ).raise_for_status()
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        handshake(edge, SHOP)


def test_edge_refuses_tls_below_1_2(cdn: SandboxCdn, edge: Edge) -> None:
    cdn.install(SHOP)
    cdn.activate()
    context = ssl.create_default_context()
    CA.configure_trust(context)
    # Without OpenSSL's security level 0 the client itself would not try TLS 1.1.
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        handshake(edge, SHOP, context)


def test_edge_answers_a_get_over_tls_with_a_text_that_names_the_host(cdn: SandboxCdn, edge: Edge) -> None:
    cdn.install(SHOP)
    cdn.activate()
    context = ssl.create_default_context()
    CA.configure_trust(context)
    with (
        socket.create_connection(("127.0.0.1", edge.https_port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=SHOP) as secure,
    ):
        secure.sendall(f"GET /any HTTP/1.1\r\nHost: {SHOP}\r\n\r\n".encode())
        response = http.client.HTTPResponse(secure)
        response.begin()
        assert (response.status, SHOP in response.read().decode()) == (200, True)
        response.close()


def test_edge_writes_no_private_key_to_disk(cdn: SandboxCdn, edge: Edge, tmp_path: Path) -> None:
    cdn.install(SHOP)
    cdn.activate()
    handshake(edge, SHOP)
    with_key = [
        path for path in tmp_path.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()
    ]
    assert with_key == [tmp_path / "c4" / "domains" / SHOP]


def test_edge_is_not_delayed_by_a_silent_client(cdn: SandboxCdn, edge: Edge) -> None:
    shop = cdn.install(SHOP)
    cdn.activate()
    with (
        socket.create_connection(("127.0.0.1", edge.https_port)),
        socket.create_connection(("127.0.0.1", edge.http_port)),
    ):
        assert handshake(edge, SHOP) == shop
        assert get(edge.http_port, "/")[0] == 301


def test_edge_logs_nothing_for_broken_or_invalid_requests(
    cdn: SandboxCdn, edge: Edge, capfd: pytest.CaptureFixture[str]
) -> None:
    shop = cdn.install(SHOP)
    cdn.activate()
    for port in (edge.http_port, edge.https_port):
        for request in (b"", b"\x00\xff\r\n\r\n", b"GET //[ HTTP/1.1\r\n\r\n"):
            # The edge may have closed the connection before all is sent.
            with suppress(OSError):
                send(port, request)
    assert handshake(edge, SHOP) == shop
    assert "".join(capfd.readouterr()) == ""


def test_edge_serves_a_challenge_from_the_webroot(cdn: SandboxCdn, edge: Edge) -> None:
    (cdn.webroot / CHALLENGES.strip("/") / "Abc-_09").write_text("Abc-_09.thumbprint")
    assert get(edge.http_port, f"{CHALLENGES}Abc-_09")[:2] == (200, b"Abc-_09.thumbprint")
    assert get(edge.http_port, f"{CHALLENGES}Abc-_09", host="any.name.example")[0] == 200
    head = send(edge.http_port, f"HEAD {CHALLENGES}Abc-_09 HTTP/1.0\r\n\r\n".encode())
    assert (head.split()[1], head[-4:]) == (b"200", b"\r\n\r\n")
    assert get(edge.http_port, f"{CHALLENGES}absent")[0] == 404


@pytest.mark.parametrize(
    "token",
    [
        "../../secret",
        "..%2f..%2fsecret",
        "%2e%2e/%2e%2e/secret",
        "a/../../../secret",
        "./x",
        "",
        "..",
        "x\x7f",
        "link",
        "folder",
        "x.txt",
        "x" * 5000,
    ],
)
def test_edge_reads_only_challenge_files_of_the_webroot(
    cdn: SandboxCdn, edge: Edge, tmp_path: Path, token: str
) -> None:
    folder = cdn.webroot / CHALLENGES.strip("/")
    for path in (cdn.webroot / "secret", tmp_path / "secret", folder / "x.txt"):
        path.write_text("a secret")
    (folder / "folder").mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    answer = send(edge.http_port, f"GET {CHALLENGES}{token} HTTP/1.0\r\nHost: {SHOP}\r\n\r\n".encode())
    assert answer.split()[1] == b"404"
    assert b"a secret" not in answer


class Standalone(BaseHTTPRequestHandler):
    """Stands for certbot's standalone responder: returns the host and path of the request."""

    def do_GET(self) -> None:
        content = f"{self.headers['Host']} {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def test_edge_forwards_a_challenge_to_the_standalone_port_if_the_webroot_lacks_it(cdn: SandboxCdn) -> None:
    (cdn.webroot / CHALLENGES.strip("/") / "here").write_text("from the webroot")
    with ThreadingHTTPServer(("127.0.0.1", 0), Standalone) as standalone:
        thread = threading.Thread(target=standalone.serve_forever)
        thread.start()
        with Edge(cdn.c4, cdn.webroot, standalone.server_address[1]) as edge:
            assert get(edge.http_port, f"{CHALLENGES}here")[1] == b"from the webroot"
            assert get(edge.http_port, f"{CHALLENGES}there")[:2] == (
                200,
                f"{SHOP} {CHALLENGES}there".encode(),
            )
            assert get(edge.http_port, f"{CHALLENGES}..%2fthere")[0] == 404
        standalone.shutdown()
        thread.join()
    with Edge(cdn.c4, None, standalone.server_address[1]) as edge:
        assert get(edge.http_port, f"{CHALLENGES}there")[0] == 502


def test_edge_redirects_http_to_https_only_for_domains_of_the_cdn(
    edge: Edge,
) -> None:
    location = f"https://{SHOP}:{edge.https_port}/cart?x=1"
    assert get(edge.http_port, "/cart?x=1", host=f"{SHOP}:80") == (301, b"Moved to https.\n", location)
    for host in ("evil.example", "", "a b", "[::1]"):
        assert get(edge.http_port, "/", host=host)[::2] == (404, None)


def test_edge_restarts_on_the_same_ports(edge: Edge) -> None:
    ports = (edge.http_port, edge.https_port)
    edge.stop()
    with pytest.raises(ConnectionRefusedError):
        get(ports[0], "/")
    edge.start()
    assert (edge.http_port, edge.https_port) == ports
    assert get(edge.http_port, "/")[0] == 301


def test_edge_start_raises_os_error_for_a_used_port_and_leaves_no_port_open(
    cdn: SandboxCdn, edge: Edge
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    second = Edge(cdn.c4, None, http_port=port, https_port=edge.https_port)
    with pytest.raises(OSError, match="in use"):
        second.start()
    with pytest.raises(ConnectionRefusedError):
        get(port, "/")
