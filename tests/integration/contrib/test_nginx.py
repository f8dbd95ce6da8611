"""contrib/nginx: a real nginx with the examples, in front of `sslctl serve --socket` and of a folder of challenges."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import requests
import trustme

from tests.support import ROOT
from tests.support.cdn import Cdn
from tests.support.command_line import command, environment
from tests.support.fakes import Clock
from tests.support.nginx import nginx_configuration
from tests.support.processes import with_default_signals

EXAMPLE = ROOT / "contrib" / "nginx" / "sslctl-page.conf"
CHALLENGES = EXAMPLE.with_name("sslctl-challenges.conf")
PATIENCE_SECONDS = 20
PASSWORD = "secret"
pytestmark = pytest.mark.nginx


class Visitor:
    """A browser of a person who logs in at nginx. `url` is the page, `plain_port` the port of nginx without TLS.

    On `challenge_port` nginx serves challenges.
    """

    def __init__(self, url: str, plain_port: int, challenge_port: int, authority: Path) -> None:
        self.url = url
        self.plain_port = plain_port
        self.challenge_port = challenge_port
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(authority)

    def get(self, person: str = "vera", *, password: str = PASSWORD, **headers: str) -> requests.Response:
        return self._session.get(
            self.url,
            auth=(person, password),
            headers=headers,
            allow_redirects=False,
            timeout=PATIENCE_SECONDS,
        )

    def post(self, **headers: str) -> requests.Response:
        return self._session.post(
            self.url, auth=("vera", PASSWORD), headers=headers, timeout=PATIENCE_SECONDS
        )

    def close(self) -> None:
        self._session.close()


def write_example(folder: Path, authority: trustme.CA, plain_port: int, port: int) -> None:
    """Write the example into `folder`, with the places and ports of this test in place of those of a real machine."""
    certificate = authority.issue_cert("127.0.0.1")
    (folder / "page.pem").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    (folder / "page.key").write_bytes(certificate.private_key_pem.bytes())
    (folder / "htpasswd").write_text(f"vera:{{PLAIN}}{PASSWORD}\nolga:{{PLAIN}}{PASSWORD}\n")
    text = EXAMPLE.read_text()
    for place, here in {
        "listen 80;": f"listen 127.0.0.1:{plain_port};",
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "server_name ssl.example.net;": "server_name 127.0.0.1;",
        "/etc/ssl/ssl.example.net.pem": f"{folder}/page.pem",
        "/etc/ssl/ssl.example.net.key": f"{folder}/page.key",
        "/etc/nginx/sslctl-page.htpasswd": f"{folder}/htpasswd",
        "/run/sslctl-page/page.sock": f"{folder}/page.sock",
    }.items():
        assert place in text
        text = text.replace(place, here)
    (folder / "sslctl-page.conf").write_text(text)
    included = "".join(
        f"    include {folder}/{name}.conf;\n" for name in ("sslctl-page", "sslctl-challenges")
    )
    (folder / "nginx.conf").write_text(nginx_configuration(folder, included))


def write_challenges_example(folder: Path, port: int) -> None:
    """Write the example that serves challenges into `folder`, with a webroot that has more than challenges."""
    webroot = folder / "acme"
    challenges = webroot / ".well-known" / "acme-challenge"
    challenges.mkdir(parents=True)
    (challenges / "token").write_text("token.thumbprint")
    (challenges / "link").symlink_to(folder / "page.key")
    (webroot / "other").write_text("secret")
    text = CHALLENGES.read_text()
    for place, here in {
        "listen 80 default_server;": f"listen 127.0.0.1:{port} default_server;",
        "root /var/www/acme;": f"root {webroot};",
    }.items():
        assert text.count(place) == 1
        text = text.replace(place, here)
    (folder / "sslctl-challenges.conf").write_text(text)


@contextmanager
def ending(process: subprocess.Popen[str]) -> Iterator[None]:
    """End `process` after the block."""
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    folder, authority = tmp_path_factory.mktemp("page"), trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    with (
        Cdn(tmp_path_factory.mktemp("cdn"), Clock()) as cdn,
        socket.create_server(("127.0.0.1", 0)) as plain,
        socket.create_server(("127.0.0.1", 0)) as secure,
        socket.create_server(("127.0.0.1", 0)) as challenge,
    ):
        sockets = (plain, secure, challenge)
        ports = [each.getsockname()[1] for each in sockets]
        write_example(folder, authority, *ports[:2])
        write_challenges_example(folder, ports[2])
        url = f"https://127.0.0.1:{ports[1]}"
        page = subprocess.Popen(
            with_default_signals(*command("serve", "--socket", str(folder / "page.sock"))),
            env=environment(
                cdn,
                SSLCTL_WEB_PUBLIC_URL=url,
                SSLCTL_WEB_PERSON_HEADER="X-Person",
                SSLCTL_WEB_GROUPS_HEADER="X-Groups",
                SSLCTL_WEB_VIEWERS="vera,@readers",
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with ending(page):
            assert page.stdout is not None
            assert url in page.stdout.readline()
            # nginx takes over listening sockets, as when a new version of it replaces an old one. So nobody waits for it.
            server = subprocess.Popen(
                ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")],
                env={**os.environ, "NGINX": "".join(f"{each.fileno()};" for each in sockets)},
                pass_fds=[each.fileno() for each in sockets],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            with ending(server):
                made = Visitor(f"{url}/", ports[0], ports[2], folder / "ca.pem")
                yield made
                made.close()
        assert page.returncode == 0
        assert not (folder / "page.sock").exists()


def test_page_is_shown_after_the_login(visitor: Visitor) -> None:
    shown = visitor.get()
    assert (shown.status_code, shown.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert shown.headers["Strict-Transport-Security"].startswith("max-age=")
    assert visitor.get(password="wrong").status_code == 401
    assert visitor.get("eve").status_code == 401


def test_person_without_a_role_is_refused_after_the_login(visitor: Visitor) -> None:
    assert visitor.get("olga").status_code == 403


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X-Person", "vera"),
        ("x-person", "vera"),
        ("X_Person", "vera"),
        ("X-Groups", "readers"),
        ("X_Groups", "readers"),
        ("X-Forwarded-User", "vera"),
        ("Connection", "close, X-Person"),
    ],
)
def test_header_of_a_visitor_changes_nothing(visitor: Visitor, header: str, value: str) -> None:
    assert visitor.get("olga", **{header: value}).status_code == 403
    assert visitor.get("vera", **{header: "olga"}).status_code == 200


def test_foreign_host_and_origin_are_refused(visitor: Visitor) -> None:
    assert visitor.get(Host="evil.example").status_code == 421
    assert visitor.post(Origin="https://evil.example").status_code == 403
    assert visitor.post(Origin="null").status_code == 403


def test_plain_http_is_redirected(visitor: Visitor) -> None:
    url = f"http://127.0.0.1:{visitor.plain_port}/domains?q=a"
    with requests.get(url, allow_redirects=False, timeout=PATIENCE_SECONDS) as redirect:
        assert (redirect.status_code, redirect.headers["Location"]) == (308, "https://127.0.0.1/domains?q=a")


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/.well-known/acme-challenge/token", 200, "token.thumbprint"),
        ("/.well-known/acme-challenge/missing", 404, None),
        ("/.well-known/acme-challenge/link", 403, None),
        ("/.well-known/acme-challenge/", 403, None),
        ("/.well-known/acme-challenge/../../other", 404, None),
        ("/other", 404, None),
        ("/", 404, None),
    ],
)
def test_example_serves_challenges_of_any_name_and_nothing_else(
    visitor: Visitor, path: str, status: int, text: str | None
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", visitor.challenge_port, timeout=PATIENCE_SECONDS)
    with closing(connection):
        connection.request("GET", path, headers={"Host": "shop.example.com"})
        response = connection.getresponse()
        body = response.read().decode()
        assert (response.status, text in (None, body)) == (status, True)
        assert response.getheader("Content-Type", "").startswith("text/plain" if text else "text/html")
