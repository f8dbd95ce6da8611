"""Caddy as a CA: its `acme_server` is step-ca's implementation of ACME, which shares no code with Pebble.

It validates HTTP-01 on port 80 alone, at the addresses that the DNS server of `/etc/resolv.conf` returns. So it runs in a network
namespace of its own, whose port 80 leads to an edge of the tests, and whose DNS server is theirs. It has no external account binding,
no profiles, no ARI and one chain.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import requests

from sslctl.sandbox.listeners import ADDRESS, Listener
from tests.support.processes import with_default_signals
from tests.support.programs import find_program
from tests.support.relays import DatagramRelay, StreamRelay

_ROOT = Path(__file__).parents[2]
_NAMESPACES = ("unshare", "--user", "--map-root-user", "--net", "--mount")
_WITH_RESOLVERS = ("sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"')
_START_SECONDS = 20.0
_STOP_SECONDS = 5.0
_POLL_SECONDS = 0.02
_CA = "local"
_CONFIGURATION = """{{
    admin off
    auto_https disable_redirects
    skip_install_trust
    default_sni {address}
    storage file_system "{folder}/storage"
}}
https://{address}:{port} {{
    bind "unix/{socket}"
    tls internal
    acme_server
}}
"""


def missing() -> str:
    """Return why Caddy cannot be a CA here, empty if it can. That it is installed is for the marker `caddy`."""
    try:
        command = (*_NAMESPACES, *_WITH_RESOLVERS, "/dev/null", "true")
        tried = subprocess.run(command, capture_output=True, check=False).returncode
    except OSError:
        return "unshare is missing"
    return "this machine permits no new network namespace" if tried else ""


class CaddyCa:
    """A running CA on loopback with a new root certificate; use as a context manager.

    All of its files are in `folder`. It listens on `port`; 0 takes a free one, which stays the same when it is started again, as
    its accounts, orders and root do. It finds the addresses of names, which are on loopback, through the DNS server `dns_server`; what it
    sends to port 80 there reaches port `edge_port` of the same address. Certificates last for 12 hours.
    """

    def __init__(self, folder: Path, *, edge_port: int, dns_server: tuple[str, int], port: int = 0) -> None:
        self._folder = folder
        self._edge_port = edge_port
        self._dns_server = dns_server
        self._port = port
        self._stack = ExitStack()

    @property
    def directory_url(self) -> str:
        """The URL of the ACME directory (RFC 8555, section 7.1.1)."""
        return f"https://{ADDRESS}:{self._port}/acme/{_CA}/directory"

    @property
    def ca_bundle(self) -> Path:
        """The root of the certificates that the CA issues, and of its own for `directory_url`."""
        return self._folder / "storage" / "pki" / "authorities" / _CA / "root.crt"

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which sslctl uses this CA, whatever its configuration file says."""
        return {
            "SSLCTL_ACME_DIRECTORY_URL": self.directory_url,
            "SSLCTL_ACME_CA_BUNDLE": str(self.ca_bundle),
        }

    def __enter__(self) -> Self:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with ExitStack() as starting:
            listening = socket.create_server((ADDRESS, self._port))
            self._port = listening.getsockname()[1]
            # A short path: that of a Unix socket may have 107 bytes.
            path = self._folder / "s"
            relay = StreamRelay(listening, lambda _connection: _connect(path))
            starting.callback(Listener(relay).stop)
            web, dns = self._start(starting, path)
            relay = StreamRelay(web, self._connect_to_edge)
            starting.callback(Listener(relay).stop)
            starting.callback(Listener(DatagramRelay(dns, self._dns_server)).stop)
            self._await_answer()
            self._stack = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def log(self) -> str:
        """Return what Caddy has printed in its last run; each ACME object that it sent is in it."""
        return (self._folder / "caddy.log").read_text(errors="replace")

    def _start(self, starting: ExitStack, path: Path) -> tuple[socket.socket, socket.socket]:
        """Start Caddy on the Unix socket `path`; return the sockets of ports 80 and 53 of its namespace."""
        path.unlink(missing_ok=True)
        configuration, resolvers = self._folder / "Caddyfile", self._folder / "resolv.conf"
        configuration.write_text(
            _CONFIGURATION.format(folder=self._folder, address=ADDRESS, port=self._port, socket=path)
        )
        resolvers.write_text(f"nameserver {ADDRESS}\n")
        here, there = socket.socketpair()
        with here, there, (self._folder / "caddy.log").open("wb") as log:
            process = subprocess.Popen(
                with_default_signals(*self._command(configuration, resolvers, there.fileno())),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Its database of accounts and orders is below HOME.
                env={"PATH": os.environ["PATH"], "HOME": str(self._folder)},
                cwd=_ROOT,
                pass_fds=[there.fileno()],
            )
            starting.callback(_stop, process)
            there.close()
            here.settimeout(_START_SECONDS)
            _, descriptors, _, _ = socket.recv_fds(here, 1, 2)
        assert len(descriptors) == 2, self.log()
        web, dns = (socket.socket(fileno=descriptor) for descriptor in descriptors)
        return web, dns

    def _command(self, configuration: Path, resolvers: Path, descriptor: int) -> tuple[str, ...]:
        return (
            *(*_NAMESPACES, *_WITH_RESOLVERS, str(resolvers)),
            # The kernel ends Caddy if the tests are killed (prctl(2), PR_SET_PDEATHSIG).
            *("setpriv", "--pdeathsig", "KILL"),
            *(sys.executable, "-m", "tests.support.caddy_namespace", str(descriptor)),
            *(
                find_program("caddy") or "caddy",
                "run",
                "--config",
                str(configuration),
                "--adapter",
                "caddyfile",
            ),
        )

    def _connect_to_edge(self, connection: socket.socket) -> socket.socket:
        return socket.create_connection((connection.getsockname()[0], self._edge_port))

    def _await_answer(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            assert time.monotonic() < deadline, f"Caddy did not start: {self.log()}"
            time.sleep(_POLL_SECONDS)

    def _answers(self) -> bool:
        try:
            return requests.get(self.directory_url, timeout=3, verify=str(self.ca_bundle)).ok
        except OSError:
            return False


def _connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
