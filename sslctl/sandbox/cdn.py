"""A whole CDN on loopback: Pebble and its DNS server, the reference C4 and its edge, and a configuration for them."""

from __future__ import annotations

import json
import os
import secrets
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Self

import trustme

from sslctl.sandbox.c4.server import ReferenceC4
from sslctl.sandbox.domain_records import DomainRecord, DomainRecords
from sslctl.sandbox.edge import Edge
from sslctl.sandbox.edge_fault import EdgeFault
from sslctl.sandbox.limited_ca import LimitedCa, RequestLimit
from sslctl.sandbox.listeners import ADDRESS
from sslctl.sandbox.pebble import Pebble
from sslctl.sandbox.remote_control import MAP
from sslctl.sandbox.resolver import SandboxResolver

CDN_SUFFIX = "cdn.sandbox.test"
ELSEWHERE = "parking.elsewhere.test"


class SandboxCdn:
    """A CDN whose files are in `folder`; a context manager that starts and stops it.

    `certificate_seconds` is the lifetime of Pebble's certificates, None for Pebble's default. `activation_seconds` is
    the time that C4 takes to activate an upload. `mode` is certbot's way to answer challenges. `pebble_environment` has
    environment variables for Pebble. With `has_resolver` a `SandboxResolver` answers DNS queries, the domains of an earlier run in
    `folder` exist again, and there are two more edges. With `ca_limits` the CA enforces these limits per IP address. With `has_other_ca`
    another Pebble is the fallback CA. Entering raises `StateError` if Pebble is missing.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Callable[[], datetime],
        certificate_seconds: int | None = None,
        activation_seconds: float = 0,
        mode: str = "webroot",
        pebble_environment: dict[str, str] | None = None,
        ca_limits: Mapping[str, RequestLimit] | None = None,
        has_resolver: bool = False,
        has_other_ca: bool = False,
    ) -> None:
        self.folder = folder
        self._mode = mode
        self._stack = ExitStack()
        self._token = secrets.token_urlsafe(32)
        self._authority = trustme.CA()
        self._challenge_port = _free_port()
        webroot = folder / "webroot"
        for made in (folder, webroot):
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.c4 = ReferenceC4(
            folder / "c4",
            token=self._token,
            tls=self._server_tls(),
            clock=clock,
            activation_seconds=activation_seconds,
        )
        self.records = DomainRecords(folder) if has_resolver else None
        self.edge = Edge(
            self.c4,
            webroot,
            self._challenge_port,
            find_redirect=self._find_redirect,
            find_thumbprint=self._find_thumbprint,
        )
        # Only for TLS. Each of them can have one of the faults.
        self.other_edges = [
            Edge(self.c4, None, find_fault=partial(self._find_fault, fault))
            for fault in (EdgeFault if has_resolver else ())
        ]
        self._certificate_seconds = certificate_seconds
        self._pebble_environment = pebble_environment
        self._ca_limits = ca_limits
        self._has_other_ca = has_other_ca
        self.pebble: Pebble
        self.other_pebble: Pebble | None = None
        self.limited_ca: LimitedCa | None = None

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            starting.enter_context(self.c4)
            for edge in (self.edge, *self.other_edges):
                starting.enter_context(edge)
            resolver = self._start_resolver(starting)
            self.pebble = starting.enter_context(self._make_pebble("pebble", resolver))
            self._restore_cnames()
            if self._ca_limits is not None:
                self.limited_ca = starting.enter_context(LimitedCa(self.pebble, self._ca_limits))
            resolver = resolver or self.pebble.dns_address
            if self._has_other_ca:
                self.other_pebble = starting.enter_context(self._make_pebble("other-pebble", resolver))
            self._write_configuration(resolver)
            self._stack = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _make_pebble(self, name: str, resolver: str | None) -> Pebble:
        return Pebble(
            self.folder / name,
            http_port=self.edge.http_port,
            certificate_seconds=self._certificate_seconds,
            env=self._pebble_environment,
            resolver=resolver,
        )

    @property
    def config_path(self) -> Path:
        """The configuration file that makes sslctl use this CDN."""
        return self.folder / "config.toml"

    def add_domain(
        self, name: str, *, points_at: str | None = None, ports: Sequence[int] = (80, 443)
    ) -> None:
        """Create a customer's domain in C4, and its CNAME in DNS: to the CDN, or to `points_at`."""
        target = cname_target(name)
        self.c4.create_domain(name, cname_target=target, ports=ports)
        self.pebble.set_cname(name, points_at or target)
        if self.records is not None:
            self.records.set_domain(name, DomainRecord(points_at or target))

    def names(self) -> dict[str, str | None]:
        """Return the domains that the resolver knows, each with the target of its CNAME if that is not the CDN."""
        domains = {} if self.records is None else self.records.read().domains
        return {
            name: None if record.points_at == cname_target(name) else record.points_at
            for name, record in domains.items()
        }

    def _start_resolver(self, starting: ExitStack) -> str | None:
        """Return the address of the resolver, None if there is none."""
        if self.records is None:
            return None
        resolver = SandboxResolver(self.records, lambda: self.pebble.dns_server)
        return starting.enter_context(resolver).address

    def _restore_cnames(self) -> None:
        """Set the CNAMEs of an earlier run: Pebble's DNS server has forgotten them."""
        if self.records is not None:
            for name, record in self.records.read().domains.items():
                self.pebble.set_cname(name, record.points_at)

    @property
    def thumbprint_path(self) -> Path:
        """The file with the thumbprint that the edge answers to every challenge, in stateless mode."""
        return self.folder / "edge-thumbprint"

    @property
    def is_stateless(self) -> bool:
        """Whether the edge is to answer challenges by itself."""
        return self._mode == "stateless"

    def _find_thumbprint(self) -> str:
        if not self.is_stateless:
            return ""
        try:
            return self.thumbprint_path.read_text().strip()
        except FileNotFoundError:
            return ""

    def _find_redirect(self, host: str) -> str:
        record = None if self.records is None else self.records.read().domains.get(host)
        return "" if record is None else record.redirect

    def _find_fault(self, fault: EdgeFault) -> EdgeFault | None:
        """Return `fault` if it was injected."""
        injected = None if self.records is None else self.records.read().edge_fault
        return fault if injected is fault else None

    def _server_tls(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        return context

    def _write_configuration(self, resolver: str) -> None:
        self._write("c4-ca.pem", self._authority.cert_pem.bytes().decode())
        self._write("c4-token", self._token + "\n")
        sections: dict[str, dict[str, object]] = {
            "state": {"dir": str(self.folder / "state")},
            "acme": {
                "directory_url": (self.limited_ca or self.pebble).directory_url,
                "ca_bundle": str(self.pebble.ca_bundle),
                "email": "operator@sandbox.test",
                "mode": self._mode,
                "webroot": str(self.folder / "webroot"),
                "http01_port": self._challenge_port,
                "http01_address": ADDRESS,
                "caa_identities": ["pebble.sandbox.test"],
            },
            "c4": {
                "base_url": self.c4.url,
                "token_file": str(self.folder / "c4-token"),
                "ca_bundle": str(self.folder / "c4-ca.pem"),
            },
            "cdn": {
                "cname_suffixes": [CDN_SUFFIX],
                "probe_private": True,
                "http_port": self.edge.http_port,
                "https_port": self.edge.https_port,
            },
            "dns": {"resolvers": [resolver]},
        }
        if self.other_edges:
            edges = [self.edge, *self.other_edges]
            sections["verify"] = {"edges": [f"{ADDRESS}:{each.https_port}" for each in edges]}
        if self.other_pebble is not None:
            sections["[acme.fallback]"] = {
                "directory_url": self.other_pebble.directory_url,
                "ca_bundle": str(self.other_pebble.ca_bundle),
                "caa_identities": ["other-pebble.sandbox.test"],
            }
        lines = ["# Written by the sandbox. Everything here is on loopback and ends with it."]
        for section, values in sections.items():
            # JSON strings, numbers, booleans and arrays of them are also TOML.
            lines += ["", f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        self._write(self.config_path.name, "\n".join(lines) + "\n")

        places = {"c4_url": self.c4.url, "records_url": self.pebble.records_url}
        self._write(MAP, json.dumps(places))

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)


def cname_target(name: str) -> str:
    """Return the name on the CDN that the customer's `name` must point at."""
    return f"{name}.{CDN_SUFFIX}"


def _free_port() -> int:
    with socket.create_server((ADDRESS, 0)) as bound:
        port: int = bound.getsockname()[1]
    return port
