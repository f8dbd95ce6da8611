"""A small real DNS server on loopback, which answers as a recursive resolver would, and misbehaves on request."""

from __future__ import annotations

import socketserver
import struct
import threading
from collections.abc import Callable
from enum import Enum, auto
from types import TracebackType
from typing import Self

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from dns.rdatatype import CNAME, RdataType

_TTL = 60
_LONGEST_UDP = 512


class Trouble(Enum):
    """How a name can misbehave."""

    SERVFAIL = auto()
    REFUSED = auto()
    SILENCE = auto()
    GARBAGE = auto()
    REFERRAL = auto()


class DnsZone:
    """Every name that it knows, and NXDOMAIN for all others.

    Used as a context manager: it answers over UDP and TCP at `address` until the block ends. `queries` lists what was
    asked, in order, as (name, type).
    """

    def __init__(self) -> None:
        self.queries: list[tuple[str, str]] = []
        self._records: dict[tuple[dns.name.Name, RdataType], dns.rrset.RRset] = {}
        self._troubles: dict[dns.name.Name, tuple[Trouble, str | None]] = {}
        self._slots: dict[tuple[dns.name.Name, RdataType], tuple[str, ...]] = {}
        self._delays: dict[dns.name.Name, float] = {}
        self._closing = threading.Event()
        self._udp, self._tcp = _bind(self._respond)
        self.address: tuple[str, int] = ("127.0.0.1", self._udp.server_address[1])
        self._threads = [
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            for server in (self._udp, self._tcp)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        for server in (self._udp, self._tcp):
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join()

    def add(self, name: str, kind: str, *values: str) -> Self:
        """Set the records of type `kind` at `name`, in zone file form; names in values are absolute."""
        values = tuple(f"{value.rstrip('.')}." if kind == "CNAME" else value for value in values)
        rrset = dns.rrset.from_text(_name(name), _TTL, "IN", kind, *values)
        self._records[_name(name), rrset.rdtype] = rrset
        return self

    def turn(self, name: str, kind: str, *values: str) -> Self:
        """Answer with these records of type `kind` at `name` from the second query on."""
        self._slots[_name(name), RdataType.make(kind)] = values
        return self

    def spoil(self, name: str, trouble: Trouble, kind: str | None = None) -> Self:
        """Make `name` misbehave, for all types or for one."""
        self._troubles[_name(name)] = (trouble, kind)
        return self

    def delay(self, name: str, seconds: float) -> Self:
        """Answer for `name` only after `seconds`."""
        self._delays[_name(name)] = seconds
        return self

    def _respond(self, wire: bytes, *, over_udp: bool) -> bytes:
        """Return the bytes of the response; empty for no response."""
        query = dns.message.from_wire(wire)
        question = query.question[0]
        self.queries.append((question.name.to_text(omit_final_dot=True), question.rdtype.name))
        if question.name in self._delays:
            self._closing.wait(self._delays[question.name])
        response = dns.message.make_response(query, recursion_available=True)
        trouble = self._resolve(response, question.name, question.rdtype)
        if trouble is Trouble.SILENCE:
            return b""
        if trouble is Trouble.GARBAGE:
            # The right header, with a count of records that are missing.
            return wire[:2] + b"\x81\x80\x00\x01\x00\x09" + wire[8:12] + b"\xff\xff\xff"
        return _pack(response, over_udp=over_udp)

    def _resolve(self, response: dns.message.Message, name: dns.name.Name, kind: RdataType) -> Trouble | None:
        """Fill `response`, following CNAMEs, each at most once in a loop."""
        seen: set[dns.name.Name] = set()
        while name not in seen:
            seen.add(name)
            trouble, only = self._troubles.get(name, (None, None))
            if trouble and only in (None, kind.name):
                return _fail(response, name, trouble)
            if (name, kind) in self._records:
                response.answer.append(self._records[name, kind])
                if (name, kind) in self._slots:
                    self.add(name.to_text(), kind.name, *self._slots.pop((name, kind)))
                return None
            if (name, CNAME) not in self._records:
                break
            response.answer.append(self._records[name, CNAME])
            name = self._records[name, CNAME][0].target
        soa = dns.rrset.from_text(name, _TTL, "IN", "SOA", "ns. hostmaster. 1 60 60 60 60")
        response.authority.append(soa)
        if not any(owner.is_subdomain(name) for owner, _ in self._records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return None


def _name(name: str) -> dns.name.Name:
    return dns.name.from_text(name)


def _fail(response: dns.message.Message, name: dns.name.Name, trouble: Trouble) -> Trouble | None:
    if trouble is Trouble.REFERRAL:
        response.answer.clear()
        response.authority.append(dns.rrset.from_text(name.parent(), _TTL, "IN", "NS", "ns.invalid."))
        return None
    if trouble in (Trouble.SERVFAIL, Trouble.REFUSED):
        response.answer.clear()
        response.set_rcode(dns.rcode.from_text(trouble.name))
        return None
    return trouble


def _pack(response: dns.message.Message, *, over_udp: bool) -> bytes:
    if not over_udp:
        return response.to_wire(max_size=65535)
    try:
        return response.to_wire(max_size=_LONGEST_UDP)
    except dns.exception.TooBig:
        response.answer.clear()
        response.authority.clear()
        response.flags |= dns.flags.TC
        return response.to_wire()


class _Udp(socketserver.ThreadingUDPServer):
    """Waits for its threads at the end, so that a delayed answer never outlives the test."""

    daemon_threads = False


class _Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = False
    allow_reuse_address = True


def _bind(respond: Callable[..., bytes]) -> tuple[_Udp, _Tcp]:
    """Bind UDP and TCP to one free port; a port that is free for UDP may be taken for TCP."""

    class UdpHandler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            wire, listener = self.request
            answer = respond(wire, over_udp=True)
            if answer:
                listener.sendto(answer, self.client_address)

    class TcpHandler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            (length,) = struct.unpack("!H", self.rfile.read(2))
            answer = respond(self.rfile.read(length), over_udp=False)
            if answer:
                self.wfile.write(struct.pack("!H", len(answer)) + answer)

    trouble: OSError | None = None
    for _ in range(20):
        udp = _Udp(("127.0.0.1", 0), UdpHandler)
        try:
            return udp, _Tcp(("127.0.0.1", udp.server_address[1]), TcpHandler)
        except OSError as error:
            udp.server_close()
            trouble = error
    raise AssertionError("no port is free for both UDP and TCP") from trouble
