"""Pebble, Let's Encrypt's small test CA, and its DNS server, on free ports of loopback.

`Pebble` runs the two programs of Debian's package `pebble`, 2.4 or later, for a `with` block. They have a session of their
own, so that Ctrl-C in a terminal reaches only the parent, which stops them in order.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

import dns.exception
import dns.message
import dns.query
import requests
import trustme

from sslctl.errors import StateError
from sslctl.sandbox.pebble_flags import dns_server_arguments, read_usage
from sslctl.text import clean

_PROGRAMS = ("pebble", "pebble-challtestsrv")
_HINT = "apt-get install pebble"
_START_SECONDS = 15.0
_STOP_SECONDS = 5.0
_ASK_SECONDS = 3.0
_POLL_SECONDS = 0.05
_ATTEMPTS = 5


class _PortTaken(Exception):
    """Another program took a port between its choice and its use."""


def missing() -> str | None:
    """Return why Pebble cannot run here, or None if it can."""
    absent = [program for program in _PROGRAMS if shutil.which(program) is None]
    return f"not installed: {', '.join(absent)}" if absent else None


class Pebble:
    """A running test CA with a DNS server of its own.

    `folder` is created with mode 0700, for the configuration, `ca.pem` and the logs. `http_port` is the port on which
    Pebble validates HTTP-01, at the addresses that its DNS server returns. `certificate_seconds` is the lifetime of its
    certificates, None for Pebble's default: five years up to 2.6, then 90 days. `env` has its `PEBBLE_…` variables;
    `PEBBLE_VA_NOSLEEP` is 1 by default. Pebble asks the DNS server at `resolver` (`address:port`), by default its own. If there are
    `credentials`, HMAC keys in base64url by their identifier, Pebble registers only accounts that have one of them.

    Start it in a thread that outlives it. If `setpriv` exists, the kernel kills the children as soon as the thread that
    started them has ended (prctl(2), PR_SET_PDEATHSIG).
    """

    def __init__(
        self,
        folder: Path,
        *,
        http_port: int,
        certificate_seconds: int | None = None,
        env: Mapping[str, str] | None = None,
        resolver: str | None = None,
        credentials: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = folder
        self._http_port = http_port
        self._certificate_seconds = certificate_seconds
        self._env = {"PEBBLE_VA_NOSLEEP": "1", **(env or {})}
        self._resolver = resolver
        self._credentials = dict(credentials or {})
        self._children: list[subprocess.Popen[bytes]] = []
        self._acme_port = self._pebble_port = self._dns_port = self._records_port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def directory_url(self) -> str:
        """The URL of the ACME directory (RFC 8555, section 7.1.1)."""
        return f"https://127.0.0.1:{self._acme_port}/dir"

    @property
    def ca_bundle(self) -> Path:
        """The CA certificate that clients trust for `directory_url`; not the root of the certificates that Pebble issues."""
        return self._folder / "ca.pem"

    @property
    def server_certificate(self) -> tuple[Path, Path]:
        """The chain and the key with which Pebble serves `directory_url`."""
        return self._folder / "cert.pem", self._folder / "key.pem"

    @property
    def dns_address(self) -> str:
        """`address:port` of the DNS server, UDP and TCP."""
        return f"127.0.0.1:{self._dns_port}"

    @property
    def dns_server(self) -> tuple[str, int]:
        """Address and port of the DNS server."""
        return "127.0.0.1", self._dns_port

    @property
    def management_url(self) -> str:
        """The URL of Pebble's management interface, served with the certificate of `ca_bundle`."""
        return f"https://127.0.0.1:{self._pebble_port}"

    @property
    def records_url(self) -> str:
        """The URL of the DNS server's management interface."""
        return f"http://127.0.0.1:{self._records_port}"

    @property
    def log(self) -> Path:
        """The file with what the CA logs."""
        return self._log("pebble")

    @property
    def process_ids(self) -> tuple[int, ...]:
        """The process ids of the children: the DNS server, then Pebble; none if stopped."""
        return tuple(child.pid for child in self._children)

    def start(self) -> None:
        """Start both programs, and return when both answer. Do nothing if they run already.

        Raise `StateError` if they are not installed, if they end, or if they do not answer within 15 s.
        """
        if self._children:
            return
        absent = missing()
        if absent:
            raise StateError(f"Pebble cannot run here: {absent}", hint=_HINT)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._write_certificate()
        for _ in range(_ATTEMPTS):
            self._choose_ports()
            try:
                self._launch()
            except _PortTaken:
                self.stop()
            except BaseException:
                self.stop()
                raise
            else:
                return
        raise StateError(f"the ports chosen for Pebble were in use {_ATTEMPTS} times")

    def stop(self) -> None:
        """Stop both programs, Pebble first, and return when they have ended. Do nothing if they are stopped."""
        while self._children:
            child = self._children[-1]
            child.terminate()
            try:
                child.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            self._children.pop()

    def roots(self, number: int = 0) -> str:
        """Return the root of the chains that Pebble issues in this run, as PEM text. Raise `StateError`.

        With `PEBBLE_ALTERNATE_ROOTS=1`, the alternative chain has the root with the `number` 1.
        """
        return self._fetch(f"/roots/{number}")

    def intermediates(self) -> str:
        """Return the intermediate certificate of this run, as PEM text. Raise `StateError`."""
        return self._fetch("/intermediates/0")

    def certificate_status(self, serial: str) -> str:
        """Return what Pebble knows about the certificate with the serial number `serial`, in hexadecimal: a JSON text."""
        return self._fetch(f"/cert-status-by-serial/{serial}")

    def set_cname(self, host: str, target: str) -> None:
        """Make `host` a CNAME to `target`; an address query returns both. Raise `StateError`, as all methods below."""
        self._send("set-cname", host=host, target=target)

    def clear_cname(self, host: str) -> None:
        """Remove the CNAME of `host`, if any."""
        self._send("clear-cname", host=host)

    def set_addresses(self, host: str, ipv4: Sequence[str] = (), ipv6: Sequence[str] = ()) -> None:
        """Replace the addresses of `host`. Without an IPv4 address it has the default, 127.0.0.1."""
        for kind, addresses in (("a", ipv4), ("aaaa", ipv6)):
            self._send(f"clear-{kind}", host=host)
            if addresses:
                self._send(f"add-{kind}", host=host, addresses=list(addresses))

    def add_caa(self, host: str, issuer: str) -> None:
        """Add a CAA record to `host` that allows only `issuer` to issue (RFC 8659, section 4.2)."""
        self._send("add-caa", host=host, policies=[{"tag": "issue", "value": issuer}])

    def clear_caa(self, host: str) -> None:
        """Remove the CAA records of `host`, if any."""
        self._send("clear-caa", host=host)

    def set_servfail(self, host: str) -> None:
        """Make the DNS server answer every query for `host` with SERVFAIL."""
        self._send("set-servfail", host=host)

    def clear_servfail(self, host: str) -> None:
        """Make the DNS server answer queries for `host` again."""
        self._send("clear-servfail", host=host)

    def _write_certificate(self) -> None:
        authority = trustme.CA()
        issued = authority.issue_cert("localhost", "127.0.0.1")
        _write(self.ca_bundle, authority.cert_pem.bytes())
        _write(self._folder / "cert.pem", b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        _write(self._folder / "key.pem", issued.private_key_pem.bytes())

    def _choose_ports(self) -> None:
        self._acme_port, self._pebble_port, self._dns_port, self._records_port = _free_ports(4)

    def _launch(self) -> None:
        arguments = dns_server_arguments(
            read_usage("pebble-challtestsrv"),
            dns_address=self.dns_address,
            management_address=f"127.0.0.1:{self._records_port}",
        )
        self._spawn("pebble-challtestsrv", *arguments)
        self._await("pebble-challtestsrv", self._dns_answers)
        config = self._folder / "pebble.json"
        _write(config, json.dumps({"pebble": self._configuration()}).encode())
        self._spawn("pebble", "-config", str(config), "-dnsserver", self._resolver or self.dns_address)
        self._await("pebble", self._ca_answers)

    def _configuration(self) -> dict[str, object]:
        seconds = self._certificate_seconds
        lifetime: dict[str, object] = {}
        if seconds:
            # Pebble reads the first up to 2.6 and the second from 2.7 on. It ignores the one that it does not know.
            profile = {"description": "the sandbox's only profile", "validityPeriod": seconds}
            lifetime = {"certificateValidityPeriod": seconds, "profiles": {"default": profile}}
        return {
            "listenAddress": f"127.0.0.1:{self._acme_port}",
            "managementListenAddress": f"127.0.0.1:{self._pebble_port}",
            "certificate": str(self._folder / "cert.pem"),
            "privateKey": str(self._folder / "key.pem"),
            "httpPort": self._http_port,
            # For TLS-ALPN-01, which is not used here, but Pebble requires a port.
            "tlsPort": self._http_port,
            **lifetime,
            **({"externalAccountBindingRequired": True} if self._credentials else {}),
            "externalAccountMACKeys": self._credentials,
        }

    def _spawn(self, program: str, *arguments: str) -> None:
        # setpriv makes the system call in the child, before exec. That is safe with threads; preexec_fn is not.
        leash = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        command = [*leash, program, *arguments]
        with os.fdopen(_open(self._log(program)), "wb") as log:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # The caller's environment, such as a proxy or other PEBBLE_ variables, must not be inherited.
                env={"PATH": os.environ.get("PATH", os.defpath), **self._env},
                start_new_session=True,
            )
        self._children.append(child)

    def _await(self, program: str, answers: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not answers():
            # In this order: if the end of a program is seen, all its output must be read too.
            ended = self._children[-1].poll() is not None
            printed = self._log(program).read_text(errors="replace")
            # challtestsrv continues without a port that is in use, so its output must be read.
            if "address already in use" in printed:
                raise _PortTaken
            output = clean(" ".join(printed.splitlines()[-3:])) or "nothing"
            if ended:
                raise StateError(f"{program} ended at once; it printed: {output}")
            if time.monotonic() > deadline:
                raise StateError(
                    f"{program} did not answer within {_START_SECONDS:.0f} s; it printed: {output}"
                )
            time.sleep(_POLL_SECONDS)

    def _log(self, program: str) -> Path:
        return self._folder / f"{program}.log"

    def _dns_answers(self) -> bool:
        """Return whether a record set over the management port comes back over DNS: then both ports are ours."""
        probe = f"{uuid4().hex}.invalid"
        with suppress(StateError, dns.exception.DNSException, OSError, EOFError):
            self.set_addresses(probe, ["192.0.2.1"])
            query = dns.message.make_query(probe, "A")
            for ask in (dns.query.udp, dns.query.tcp):
                answer = ask(query, "127.0.0.1", timeout=1, port=self._dns_port)
                if "192.0.2.1" not in str(answer):
                    return False
            self._send("clear-a", host=probe)
            return True
        return False

    def _ca_answers(self) -> bool:
        """Return whether both of Pebble's ports answer over TLS with the certificate made for this run."""
        with suppress(StateError):
            self.roots()
            self._request("GET", self.directory_url)
            return True
        return False

    def _fetch(self, path: str) -> str:
        return self._request("GET", self.management_url + path)

    def _send(self, action: str, **facts: object) -> None:
        self._request("POST", f"http://127.0.0.1:{self._records_port}/{action}", facts)

    def _request(self, method: str, url: str, facts: Mapping[str, object] | None = None) -> str:
        with requests.Session() as session:
            session.trust_env = False
            try:
                answer = session.request(
                    method, url, json=facts, verify=str(self.ca_bundle), timeout=_ASK_SECONDS
                )
                answer.raise_for_status()
            except (requests.RequestException, OSError) as error:
                raise StateError(f"Pebble gave no usable answer: {clean(error)}") from error
            return answer.text


def _free_ports(count: int) -> list[int]:
    """Return `count` different loopback ports that are free for both TCP and UDP."""
    held: list[socket.socket] = []
    ports: list[int] = []
    try:
        while len(ports) < count:
            stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            held += [stream, datagram]
            stream.bind(("127.0.0.1", 0))
            port = stream.getsockname()[1]
            with suppress(OSError):
                datagram.bind(("127.0.0.1", port))
                ports.append(port)
    finally:
        for one in held:
            one.close()
    return ports


def _open(path: Path) -> int:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    os.fchmod(descriptor, 0o600)
    return descriptor


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(_open(path), "wb") as file:
        file.write(content)
