"""The folder of PEM files behind a real nginx and a real HAProxy."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from sslctl.certificates.x509 import read_leaf
from sslctl.control_plane import State
from sslctl.control_plane.folder.client import FolderControlPlane
from sslctl.control_plane.folder.reloading import Reload
from sslctl.edge.fingerprint import read_served
from sslctl.rules.model import Source
from tests.support.fakes import Clock, FakeIssuer
from tests.support.nginx import nginx_configuration

NAMES = ("a.example.com", "b.example.com")
PATIENCE_SECONDS = 20
NGINX = """
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {pem}/live/$ssl_server_name/fullchain.pem;
        ssl_certificate_key {pem}/live/$ssl_server_name/privkey.pem;
    }}
"""
HAPROXY = """
global
    stats socket {folder}/master.sock
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend edge
    bind 127.0.0.1:{port} ssl crt {pem}/pem/
    http-request return status 204
"""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def _running(*argv: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=PATIENCE_SECONDS)


def _await_active(client: FolderControlPlane, name: str, fingerprint: str) -> None:
    """Wait until the edge serves `fingerprint` for `name`: both servers reload in the background."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            found = client.certificate(name)
        except Exception:
            if time.monotonic() > deadline:
                raise
        else:
            assert found is not None
            assert found.fingerprint == fingerprint
            if found.state is State.ACTIVE:
                return
            assert time.monotonic() < deadline, "the edge does not serve it"
        time.sleep(0.05)


@pytest.mark.parametrize(
    "server",
    [pytest.param("nginx", marks=pytest.mark.nginx), pytest.param("haproxy", marks=pytest.mark.haproxy)],
)
def test_edge_serves_each_certificate_after_its_upload(server: str, tmp_path: Path, clock: Clock) -> None:
    pem, port, issuer = tmp_path / "pem", _free_port(), FakeIssuer(clock)
    pem.mkdir()
    pid_file = tmp_path / f"{server}.pid"

    def client(*reload: str) -> FolderControlPlane:
        look = partial(read_served, "127.0.0.1", port)
        reloading = Reload(reload, 30)
        return FolderControlPlane(
            pem, cname_target="edge.test", names_file=None, reload=reloading, look_at=(look,), clock=clock
        )

    # HAProxy does not start with an empty folder.
    first = {name: issuer.pair(name) for name in NAMES}
    for name, bundle in first.items():
        client().upload(name, bundle, Source.C4)
    template = NGINX if server == "nginx" else HAPROXY
    text = template.format(folder=tmp_path, pem=pem, port=port)
    configuration = tmp_path / f"{server}.conf"
    configuration.write_text(nginx_configuration(tmp_path, text) if server == "nginx" else text)
    argv = ["nginx", "-c", str(configuration), "-e", str(tmp_path / "error.log")]
    if server == "haproxy":
        argv = ["haproxy", "-W", "-p", str(pid_file), "-f", str(configuration)]
    with _running(*argv) as process:
        for name, bundle in first.items():
            _await_active(client(), name, read_leaf(bundle.certificate).fingerprint)
        reload = ("kill", "-HUP" if server == "nginx" else "-USR2", str(process.pid))
        second = issuer.pair(NAMES[0])
        client(*reload).upload(NAMES[0], second, Source.C4)
        _await_active(client(), NAMES[0], read_leaf(second.certificate).fingerprint)
        _await_active(client(), NAMES[1], read_leaf(first[NAMES[1]].certificate).fingerprint)
