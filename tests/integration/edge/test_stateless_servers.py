"""Real web servers answer challenges by themselves with the lines that `sslctl acme thumbprint` prints."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sslctl.certificates.account_key import make_account_key
from sslctl.certificates.x509 import make_csr, make_key, read_leaf
from sslctl.config.acme import AcmeSection
from sslctl.issuer import AccountKeys
from sslctl.issuer.certbot.issuer import CertbotIssuer
from sslctl.rules.account_key import AccountKey
from sslctl.rules.model import Order
from sslctl.rules.stateless_answer import configuration
from sslctl.sandbox.pebble import Pebble
from tests.support.nginx import nginx_configuration
from tests.support.programs import find_program

PATIENCE_SECONDS = 20
KEY = AccountKey(make_account_key(), datetime.now(UTC))
THUMBPRINT = KEY.thumbprint
PLACE = "/.well-known/acme-challenge/"
MODULES = Path(os.environ.get("APACHE_MODULES", "/usr/lib/apache2/modules"))
SERVERS = [
    pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("nginx", "haproxy", "caddy", "apache")
]


def _nginx(folder: Path, port: int, lines: str) -> list[str]:
    content = f"server {{ listen 127.0.0.1:{port};\n{lines}\nlocation / {{ return 308 https://$host$request_uri; }} }}"
    (folder / "conf").write_text(nginx_configuration(folder, content))
    return ["nginx", "-c", str(folder / "conf"), "-e", str(folder / "error.log")]


def _haproxy(folder: Path, port: int, lines: str) -> list[str]:
    (folder / "conf").write_text(f"""defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend edge
    bind 127.0.0.1:{port}
{lines}
    http-request redirect scheme https
""")
    return ["haproxy", "-db", "-f", str(folder / "conf")]


def _caddy(folder: Path, port: int, lines: str) -> list[str]:
    (folder / "conf").write_text(f"""{{
    admin off
    auto_https off
}}
http://:{port} {{
bind 127.0.0.1
{lines}
handle {{
    redir https://{{host}}{{uri}} 308
}}
}}
""")
    return ["caddy", "run", "--config", str(folder / "conf"), "--adapter", "caddyfile"]


def _apache(folder: Path, port: int, lines: str) -> list[str]:
    names = ("mpm_event", "authz_core", "headers", "rewrite")
    loaded = "\n".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in names)
    (folder / "conf").write_text(f"""{loaded}
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/pid
ErrorLog {folder}/error.log
ServerName localhost
Listen 127.0.0.1:{port}
<VirtualHost 127.0.0.1:{port}>
DocumentRoot {folder}
{lines}
</VirtualHost>
""")
    return ["apache2", "-D", "FOREGROUND", "-f", str(folder / "conf")]


_COMMANDS = {"nginx": _nginx, "haproxy": _haproxy, "caddy": _caddy, "apache": _apache}


@contextmanager
def _running(server: str, folder: Path) -> Iterator[int]:
    """Run `server` with the printed lines; yield its port."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = int(bound.getsockname()[1])
    program, *arguments = _COMMANDS[server](folder, port, "\n".join(configuration(server, THUMBPRINT)))
    argv = [find_program(program) or program, *arguments]
    environment = {
        **os.environ,
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
    }
    log = (folder / "output").open("wb")
    with (
        log,
        subprocess.Popen(argv, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process,
    ):
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not _accepts(port):
                assert process.poll() is None, (folder / "output").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield port
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=PATIENCE_SECONDS)


def _accepts(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@pytest.fixture(scope="module", params=SERVERS)
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with _running(request.param, tmp_path_factory.mktemp(request.param)) as port:
        yield port


def _get(port: int, path: str, method: str = "GET") -> tuple[int, str, bytes]:
    """Return status, media type and body."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)) as connection:
        connection.request(method, path, headers={"Host": "shop.example.com"})
        response = connection.getresponse()
        return response.status, response.getheader("Content-Type", "").partition(";")[0], response.read()


@pytest.mark.parametrize(
    "token", ["token", "-_-", "A", "x" * 255, "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"]
)
def test_every_token_is_answered_with_the_thumbprint(port: int, token: str) -> None:
    assert _get(port, PLACE + token) == (200, "text/plain", f"{token}.{THUMBPRINT}".encode())


@pytest.mark.parametrize(
    "token",
    ["", "..", "../", "../x", "a/b", "a/", "%2e", "%2e%2e%2f", "a%0a", "a%0d%0aX: 1", "a%00", "a.b", "a+b", "a=", "%c3%a4", "x" * 256],
)  # fmt: skip
def test_path_without_a_token_gets_no_answer(port: int, token: str) -> None:
    status, _, body = _get(port, PLACE + token.replace(" ", "%20"))
    assert status in ((308, 301, 302, 400, 404) if token.startswith(("..", "%2e%2e")) else (400, 404))
    assert THUMBPRINT.encode() not in body


def test_token_of_10_kilobytes_is_refused(port: int) -> None:
    status, _, body = _get(port, PLACE + "x" * 10_000)
    assert status in (400, 404, 414)
    assert THUMBPRINT.encode() not in body


def test_head_has_no_body_and_connections_are_kept(port: int) -> None:
    assert _get(port, f"{PLACE}token", "HEAD") == (200, "text/plain", b"")
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)) as connection:
        for token in ("first", "second"):
            connection.request("GET", PLACE + token)
            assert connection.getresponse().read() == f"{token}.{THUMBPRINT}".encode()
        assert connection.sock is not None, "the connection was closed"


def test_other_paths_are_those_of_the_site(port: int) -> None:
    for path in ("/", "/.well-known/security.txt", "/x/.well-known/acme-challenge/token"):
        status, _, body = _get(port, path)
        assert status != 200
        assert THUMBPRINT.encode() not in body


@pytest.mark.pebble
def test_ca_validates_through_the_server_and_nothing_is_written(port: int, tmp_path: Path) -> None:
    names = ("shop.example.test", "www.example.test")
    with Pebble(tmp_path / "pebble", http_port=port) as pebble:
        acme = AcmeSection(directory_url=pebble.directory_url, ca_bundle=pebble.ca_bundle, mode="stateless")
        issuer = CertbotIssuer(
            acme,
            tmp_path / "acme",
            clock=lambda: datetime.now(UTC),
            find_account_keys=lambda: AccountKeys(KEY),
        )
        with closing(issuer):
            csr = make_csr(make_key("ecdsa"), names)
            issued = issuer.issue(Order(1, 1, names, csr, datetime.now(UTC)), lambda _url: None)
    assert read_leaf(issued.certificate).names == names
    assert not {"webroot", "answers"} & {path.name for path in (tmp_path / "acme").iterdir()}
