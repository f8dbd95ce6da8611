"""Servers on loopback that answer a fetch of a token in place of a domain's ports 80 and 443."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import ip_address

import trustme

from sslctl.config.settings import CdnSection, DnsSection
from sslctl.preflight.challenge_fetch import PATH, ChallengeFetcher, Fetched
from sslctl.preflight.lookup import Resolver
from tests.support.dns_zone import DnsZone
from tests.support.misbehaving import Behaviour, Misbehaving, http_head, sending

NAME = "shop.example.com"
TOKEN = "a-token"
CONTENT = f"{TOKEN}.{'x' * 43}"
URL = f"http://{NAME}{PATH}{TOKEN}"
PUBLIC = "20.1.2.3"


def respond(status: int, body: bytes = b"", headers: str = "") -> Behaviour:
    return sending(http_head(status, f"Content-Length: {len(body)}\r\n{headers}") + body)


def redirect(to: str, status: int = 302) -> Behaviour:
    return respond(status, headers=f"Location: {to}\r\n")


class TokenServers:
    """Servers on loopback: `plain` in place of port 80, `secure` of port 443; start them with `serve`."""

    def __init__(self, stack: ExitStack, zone: DnsZone) -> None:
        self._stack = stack
        self.zone = zone
        self.cdn = CdnSection(probe_private=True, http_port=1, https_port=2)
        self.connected: list[str] = []
        self.unreachable: set[str] = set()
        self.refusing: set[str] = set()
        self.plain: Misbehaving
        self.secure: Misbehaving

    def serve(self, *plain: Behaviour, secure: Sequence[Behaviour] = ()) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("another.test").configure_cert(context)
        self.plain = self._stack.enter_context(Misbehaving(*plain))
        self.secure = self._stack.enter_context(Misbehaving(*(secure or [respond(404)]), tls=context))
        ports = [int(each.url.rpartition(":")[2]) for each in (self.plain, self.secure)]
        self.cdn = replace(self.cdn, http_port=ports[0], https_port=ports[1])

    def fetch(self, *addresses: str, seconds: float = 10) -> Fetched:
        resolver = Resolver(DnsSection((self.zone.address,), timeout_seconds=2))
        at = tuple(map(ip_address, addresses or ("127.0.0.1",)))
        fetcher = ChallengeFetcher(self.cdn, resolver, self._connect)
        return fetcher.fetch(NAME, at, TOKEN, CONTENT, seconds=seconds)

    def fetch_in_public(self) -> Fetched:
        """Fetch with the rules of production, from a public address that is that of the servers here."""
        self.cdn = replace(self.cdn, probe_private=False)
        return self.fetch(PUBLIC)

    def _connect(self, to: tuple[str, int], seconds: float) -> socket.socket:
        self.connected.append(to[0])
        if to[0] in self.unreachable:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        if to[0] in self.refusing:
            raise ConnectionRefusedError
        return socket.create_connection(("127.0.0.1" if to[0] == PUBLIC else to[0], to[1]), seconds)
