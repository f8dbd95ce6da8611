"""Server-side request forgery: a customer's DNS or the CA names loopback, private networks or metadata services.

An audit hook of the interpreter sees every connection of this process (`socket.connect`), and refuses those that would
leave the machine. Only connections to C4 and the resolver of the test are allowed.
"""

from __future__ import annotations

import errno
import json
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from random import Random
from typing import Any, Self

import trustme

from sslctl.certificates.x509 import make_csr, make_key
from sslctl.config.acme import AcmeSection
from sslctl.errors import Exit
from sslctl.issuer import IssueError
from sslctl.issuer.certbot.issuer import CertbotIssuer
from sslctl.preflight.ports import find_refusal
from sslctl.rules.model import Order
from tests.support.cdn import Cdn
from tests.support.fakes import Clock
from tests.support.misbehaving import Behaviour, Misbehaving, sending
from tests.torture.c4_proxy import context_of
from tests.torture.case import Case

TITLE = "Forged connections (SSRF)"
TARGET = "0 connections"

_SEED = 20261123
# Two public addresses, to which nothing is ever sent here.
_PUBLIC = ("20.1.2.3", "2606:4700::1111")
# RFC 6890 and similar ranges, with addresses of this machine, its network, or hosts that no CA can reach.
_RANGES = {
    "127/8": ("127.0.0.0/8", ("127.0.0.1", "127.1.2.3", "127.255.255.254")),
    "::1 and ::": ("::/127", ("::1", "::")),
    "169.254.169.254 and other link-local": ("169.254.0.0/16", ("169.254.169.254", "169.254.170.2")),
    "10/8": ("10.0.0.0/8", ("10.0.0.1", "10.255.255.255")),
    "172.16/12": ("172.16.0.0/12", ("172.16.0.1", "172.31.255.255")),
    "192.168/16": ("192.168.0.0/16", ("192.168.0.1", "192.168.255.255")),
    "fc00::/7": ("fc00::/7", ("fc00::1", "fd00:ec2::254")),
    "fe80::/10": ("fe80::/10", ("fe80::1", "fe80::a9fe:a9fe")),
    "fec0::/10": ("fec0::/10", ("fec0::1",)),
    "IPv4-mapped": ("::ffff:0:0/96", ("::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:20.1.2.3")),
    "IPv4-compatible": ("::/96", ("::127.0.0.1", "::169.254.169.254")),
    "NAT64": ("64:ff9b::/96", ("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe")),
    "NAT64, local": ("64:ff9b:1::/48", ("64:ff9b:1::7f00:1",)),
    "6to4": ("2002::/16", ("2002:7f00:1::1", "2002:a9fe:a9fe::", "2002:a00:1::1")),
    "Teredo": ("2001::/32", ("2001:0:7f00:1::1", "2001::1")),
    "0/8": ("0.0.0.0/8", ("0.0.0.0", "0.1.2.3")),  # noqa: S104 - asked for, not bound
    "100.64/10": ("100.64.0.0/10", ("100.64.0.1", "100.100.100.200", "100.127.255.255")),
    "multicast": ("224.0.0.0/4", ("224.0.0.1", "239.255.255.250")),
    "multicast, IPv6": ("ff00::/8", ("ff02::1", "ff0e::1", "ff05::1:3")),
    "240/4 and broadcast": ("240.0.0.0/4", ("240.0.0.1", "255.255.255.255")),
    "192.0.0/24": ("192.0.0.0/24", ("192.0.0.192", "192.0.0.8")),
    "168.63.129.16": ("168.63.129.16/32", ("168.63.129.16",)),
    "documentation and benchmarks": ("198.18.0.0/15", ("192.0.2.1", "198.51.100.1", "203.0.113.1")),
    "documentation, IPv6": ("2001:db8::/32", ("2001:db8::1", "3fff::1")),
    "discard and SRv6": ("100::/64", ("100::1", "5f00::1")),
}


def run(folder: Path, *, small: bool) -> Iterator[Case]:
    """Let names resolve to each kind of address; then use hostile resolvers and CAs."""
    with _World(folder / "cdn") as world:
        for number, (kind, (network, examples)) in enumerate(_RANGES.items()):
            some = examples[:1] if small else examples
            yield _range(world, kind, number, ip_network(network), some, tries=20 if small else 2000)
        yield _mixed(world, most=8 if small else None)
        yield _rebound(world)
        yield _redirected(world)
    yield from _cas(folder, _NAMED[::3] if small else _NAMED)


class _Watch:
    """Records every connection that is started while `watching`; refuses those that would leave the machine."""

    def __init__(self) -> None:
        self._seen: list[tuple[str, int]] | None = None
        # An audit hook cannot be removed.
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._seen is None or event not in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            return
        address = arguments[1]
        if not isinstance(address, tuple):
            return
        stays = str(address[0]).startswith("127.")
        # The resolver of the test sends from this process too.
        if event == "socket.connect" or not stays:
            self._seen.append((str(address[0]), int(address[1])))
        if not stays:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")

    @contextmanager
    def watching(self) -> Iterator[list[tuple[str, int]]]:
        """Yield the list to which the connections of the block are added."""
        self._seen = seen = list[tuple[str, int]]()
        try:
            yield seen
        finally:
            self._seen = None


_WATCH = _Watch()


class _World:
    """A CDN with port probes, and listeners that a probe of loopback would reach; use as a context manager."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.cdn = Cdn(folder, Clock())
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self.cdn)
        # The target of the redirects.
        elsewhere = self._stack.enter_context(Misbehaving(sending(b"")))
        self.elsewhere = elsewhere
        self.trap = self._stack.enter_context(_Trap(elsewhere.url))
        config = self.cdn.config_path
        ports = f"probe_ports = true\nhttp_port = {self.trap.port}\nhttps_port = {self.trap.port}"
        config.write_text(config.read_text().replace("probe_ports = false", ports))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def point(self, name: str, *addresses: str) -> None:
        """Let `name` resolve through the CDN to `addresses`."""
        self.cdn.add_domain(name)
        target = f"{name}.cdn.test"
        self.cdn.clear_dns(target)
        for kind, colon in (("A", False), ("AAAA", True)):
            of_kind = [each for each in addresses if (":" in each) is colon]
            if of_kind:
                self.cdn.zone.add(target, kind, *of_kind)

    def strange(self, seen: Sequence[tuple[str, int]], *allowed: str) -> list[str]:
        """Return the connections to others than C4, the resolver and the addresses `allowed`."""
        usual = {self.cdn.zone.address, ("127.0.0.1", int(self.cdn.c4.url.rpartition(":")[2]))}
        odd = {each for each in seen if each not in usual and each[0] not in allowed}
        return [f"a connection to {host} port {port} was started" for host, port in sorted(odd)]


class _Trap:
    """A listener on loopback that sends a redirect to every client at once; use as a context manager.

    `connections` counts the clients, `came` has what they sent.
    """

    def __init__(self, leads_to: str) -> None:
        trap, self.connections, self.came = self, 0, b""
        answer = f"HTTP/1.1 302 Found\r\nLocation: {leads_to}\r\nContent-Length: 0\r\n\r\n".encode()

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                trap.connections += 1
                with suppress(OSError):
                    self.request.sendall(answer)
                    trap.came += self.request.recv(1 << 16)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        # This waits for the handlers, so that their records are complete.
        self._server.server_close()
        self._thread.join()


def _range(
    world: _World,
    kind: str,
    number: int,
    network: IPv4Network | IPv6Network,
    examples: Sequence[str],
    tries: int,
) -> Case:
    """Add names that resolve to `examples`, and probe random addresses of `network`."""
    found = list[str]()
    for index, address in enumerate(examples):
        name = f"p{number}-{index}.probe.test"
        world.point(name, address)
        with _WATCH.watching() as seen:
            result = world.cdn.sslctl("add", name)
        found += [f"{address}: {what}" for what in world.strange(seen)]
        # Nothing follows from a probe that was not made: the CA validates from its own network.
        if result.exit_code != Exit.OK:
            found.append(f"{address}: it ended with {result.exit_code}: {result.stdout}")
    random = Random(f"{_SEED} {kind}")
    with _WATCH.watching() as seen:
        for _ in range(tries):
            find_refusal([network[random.randrange(network.num_addresses)]], 443, private=False)
    found += [f"seed {_SEED}: {what}" for what in world.strange(seen)]
    if world.trap.connections:
        found.append(f"{world.trap.connections} connections reached a listener on loopback")
    return Case(f"a name that resolves to {kind}", len(examples) + tries, found)


def _mixed(world: _World, most: int | None) -> Case:
    """A public address that refuses connections, together with another address."""
    found, random = list[str](), Random(_SEED)
    others = [address for _, examples in _RANGES.values() for address in examples][:most]
    for index, other in enumerate(others):
        name = f"m{index}.mixed.test"
        both = [_PUBLIC[":" in other], other]
        random.shuffle(both)
        world.point(name, *both)
        with _WATCH.watching() as seen:
            world.cdn.sslctl("add", name)
        found += [f"{both}: {what}" for what in world.strange(seen, *_PUBLIC)]
    return Case("a name that resolves to one of these and to a public address", len(others), found)


def _rebound(world: _World) -> Case:
    """The resolver answers with a public address first, and with a private one from then on."""
    found, tries = list[str](), 0
    for public, then in ((_PUBLIC[0], "127.0.0.1"), (_PUBLIC[1], "::1"), (_PUBLIC[0], "169.254.169.254")):
        name = f"r{tries}.rebind.test"
        tries += 1
        world.point(name, public)
        kind = "AAAA" if ":" in public else "A"
        world.cdn.zone.turn(f"{name}.cdn.test", kind, then)
        asked = len(world.cdn.zone.queries)
        with _WATCH.watching() as seen:
            world.cdn.sslctl("add", name)
        found += [f"{public}, then {then}: {what}" for what in world.strange(seen, public)]
        if not any(host == public for host, _ in seen):
            found.append(f"{public} was judged, and not connected to")
        times = world.cdn.zone.queries[asked:].count((name, kind))
        if times != 1:
            found.append(f"{name} was resolved {times} times")
    return Case("DNS rebinding: another answer the second time", tries, found)


def _redirected(world: _World) -> Case:
    """With `probe_private` probes reach loopback: two send nothing, the third fetches a token and follows no redirect elsewhere."""
    config = world.cdn.config_path
    config.write_text(
        config.read_text().replace("probe_ports = true", "probe_ports = true\nprobe_private = true")
    )
    before = world.trap.connections
    world.point("redirect.test", "127.0.0.1")
    result = world.cdn.sslctl("add", "redirect.test")
    # A connection is counted before what came over it.
    _wait(lambda: world.trap.connections - before >= 3 and b"\r\n\r\n" in world.trap.came)
    found = []
    if result.exit_code != Exit.FAILURE or "CHALLENGE_UNREACHABLE" not in result.stdout:
        found.append(f"the redirect is not reported: {result.exit_code}: {result.stdout}")
    if world.trap.connections - before != 3:
        found.append(f"{world.trap.connections - before} connections were made, where 3 are right")
    if world.trap.came.count(b"\r\n\r\n") != 1 or not world.trap.came.startswith(b"GET /.well-known/acme-"):
        found.append(f"something else than one request for a token was sent: {world.trap.came!r}")
    if world.elsewhere.connections:
        found.append("a redirect to another port was followed")
    return Case("a port that redirects to another port, with loopback allowed", 1, found, "1 request sent")


def _wait(happened: Callable[[], bool]) -> None:
    """Wait until `happened`, or 5 seconds: the listener's threads record connections with a delay."""
    until = time.monotonic() + 5
    while not happened() and time.monotonic() < until:
        time.sleep(0.01)


# URLs from the CA


class _Ca(Misbehaving):
    """As much of a CA over TLS as it takes to send `value` as the URL `at`; its other URLs are its own."""

    def __init__(self, authority: trustme.CA, at: str, value: str) -> None:
        super().__init__(sending(b""), tls=context_of(authority.issue_cert("127.0.0.1")))
        self._urls = {each: f"{self.url}/{each}" for each in _URLS} | {at: value}

    def choose(self, request: bytes) -> Behaviour:
        path = request.split(b" ")[1].decode().removeprefix("/")
        bodies: dict[str, tuple[int, str, dict[str, Any]]] = {
            "directory": (200, "", {each: self._urls[each] for each in _DIRECTORY}),
            "newNonce": (200, "", {}),
            "newAccount": (201, self._urls["account"], {"status": "valid"}),
            "newOrder": (201, self._urls["order"], self._order),
            "order": (200, "", self._order),
        }
        if path.startswith("renewalInfo"):
            window = {"start": "2026-12-01T00:00:00Z", "end": "2026-12-02T00:00:00Z"}
            bodies[path] = (200, "", {"suggestedWindow": window, "explanationURL": self._urls["explanation"]})
        status, location, body = bodies.get(path, (404, "", {"type": "urn:ietf:params:acme:error:malformed"}))
        if path == "directory" and self._urls["redirect"] != f"{self.url}/redirect":
            status, location = 302, self._urls["redirect"]
        content = b"" if request.startswith(b"HEAD") else json.dumps(body).encode()
        head = f"HTTP/1.1 {status} Words\r\nReplay-Nonce: bm9uY2U\r\nContent-Type: application/json\r\n"
        head += f"Location: {location}\r\n" if location else ""
        head += f"Content-Length: {len(content)}\r\n\r\n"
        return lambda sock, server: server.send(sock, head.encode() + content)

    @property
    def _order(self) -> dict[str, Any]:
        identifiers = [{"type": "dns", "value": "shop.example.com"}]
        return {
            "status": "pending",
            "identifiers": identifiers,
            "authorizations": [self._urls["authorization"]],
            "finalize": self._urls["finalize"],
        }


_DIRECTORY = ("newNonce", "newAccount", "newOrder", "revokeCert", "keyChange", "renewalInfo")
_URLS = (*_DIRECTORY, "account", "order", "authorization", "finalize", "explanation", "redirect")
_NAMED = (
    "newNonce",
    "newAccount",
    "newOrder",
    "renewalInfo",
    "order",
    "authorization",
    "explanation",
    "redirect",
)


def _cas(folder: Path, named: Sequence[str]) -> Iterator[Case]:
    """A CA sends URLs without TLS: of resources, of a redirect, and of an explanation."""
    authority = trustme.CA()
    bundle = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    with Misbehaving(sending(b"")) as rogue:
        for number, at in enumerate(named):
            with _Ca(authority, at, f"{rogue.url}/{at}") as ca:
                section = AcmeSection(
                    directory_url=f"{ca.url}/directory",
                    ca_bundle=bundle,
                    webroot=folder,
                    workers=1,
                    timeout_seconds=30,
                )
                issuer = CertbotIssuer(section, folder / f"acme-{number}", clock=Clock())
                found = list(_met(issuer, at))
                issuer.close()
            if rogue.connections:
                found.append(f"{rogue.connections} connections were made there")
            yield Case(f"a CA with a plain http URL: {at}", 1, found)


def _met(issuer: CertbotIssuer, at: str) -> Iterator[str]:
    """Order, or request renewal information, from a CA with the hostile URL `at`."""
    if at in ("renewalInfo", "explanation"):
        with suppress(IssueError):
            issuer.renewal_infos(["aki.1"], 10)
        return
    names = ("shop.example.com",)
    order = Order(1, 1, names, make_csr(make_key("ecdsa"), names), Clock()())
    try:
        issuer.issue(order, lambda _url: None)
    except IssueError:
        pass
    else:
        yield "a certificate came of it"
