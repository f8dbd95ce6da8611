"""A small real DNS server on loopback, which answers as a recursive resolver would, and misbehaves on request."""

from __future__ import annotations

import threading
from enum import Enum, auto
from types import TracebackType
from typing import Self

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from dns.rdatatype import CNAME, DNAME, RdataType

from sslctl.sandbox.dns_server import bind, pack

_TTL = 60


class Trouble(Enum):
    """How a name can misbehave."""

    SERVFAIL = auto()
    REFUSED = auto()
    SILENCE = auto()
    GARBAGE = auto()
    REFERRAL = auto()
    FORMERR = auto()
    NOTIMP = auto()
    NOTAUTH = auto()
    BOGUS = auto()
    """SERVFAIL, unless the query disables validation (the CD bit)."""
    BOGUS_WITHOUT_EDNS = auto()
    """The same, and FORMERR for a query with EDNS (RFC 6891 section 7)."""
    SERVFAIL_TWICE = auto()
    """SERVFAIL for the first two queries."""
    SERVFAIL_ONCE = auto()
    """SERVFAIL for the first query."""
    TRUNCATED = auto()
    """Truncated over UDP, and silence over TCP."""
    OTHER_NAME = auto()
    """A record of another name than that of the question."""
    NO_SOA = auto()
    """No records, and an empty authority section."""


_RCODES = (Trouble.SERVFAIL, Trouble.REFUSED, Trouble.FORMERR, Trouble.NOTIMP, Trouble.NOTAUTH)


class DnsZone:
    """Every name that it knows, and NXDOMAIN for all others.

    Used as a context manager: it answers over UDP and TCP at `address` until the block ends. `queries` lists what was
    asked, in order, as (name, type).
    """

    def __init__(self) -> None:
        self.queries: list[tuple[str, str]] = []
        self._records: dict[tuple[dns.name.Name, RdataType], dns.rrset.RRset] = {}
        self._troubles: dict[tuple[dns.name.Name, str | None], Trouble] = {}
        self._explanations: dict[dns.name.Name, tuple[int, str]] = {}
        self._slots: dict[tuple[dns.name.Name, RdataType], tuple[str, ...]] = {}
        self._delays: dict[dns.name.Name, float] = {}
        self._closing = threading.Event()
        self._udp, self._tcp = bind(self._respond)
        # They wait for their threads at the end, so that a delayed answer never outlives the test.
        self._udp.daemon_threads = self._tcp.daemon_threads = False
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
        self._troubles[_name(name), kind] = trouble
        return self

    def mend(self, name: str, kind: str | None = None) -> Self:
        """End the trouble that `name` has, if any, for all types or for one."""
        self._troubles.pop((_name(name), kind), None)
        return self

    def explain(self, name: str, code: int, text: str = "") -> Self:
        """Send an extended error (RFC 8914) with a failure about `name`, if the query has EDNS."""
        self._explanations[_name(name)] = (code, text)
        return self

    def add_raw(self, name: str, kind: str, *wires: bytes) -> Self:
        """Set the records of type `kind` at `name` by their data, which may be what dnspython rejects."""
        rdtype = RdataType.make(kind)
        records = [dns.rdata.GenericRdata(dns.rdataclass.IN, rdtype, wire) for wire in wires]
        self._records[_name(name), rdtype] = dns.rrset.from_rdata_list(_name(name), _TTL, records)
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
        response.flags |= query.flags & dns.flags.CD
        trouble = self._resolve(response, question.name, question.rdtype)
        if trouble is Trouble.SILENCE or (trouble is Trouble.TRUNCATED and not over_udp):
            return b""
        if trouble is Trouble.TRUNCATED:
            response.answer.clear()
            response.flags |= dns.flags.TC
        if trouble is Trouble.GARBAGE:
            # The right header, with a count of records that are missing.
            return wire[:2] + b"\x81\x80\x00\x01\x00\x09" + wire[8:12] + b"\xff\xff\xff"
        return pack(response, over_udp=over_udp)

    def _resolve(self, response: dns.message.Message, name: dns.name.Name, kind: RdataType) -> Trouble | None:
        """Fill `response`, following CNAMEs, each at most once in a loop."""
        seen: set[dns.name.Name] = set()
        while name not in seen:
            seen.add(name)
            trouble = self._find_trouble(response, name, kind)
            if trouble is not None:
                if response.edns >= 0 and name in self._explanations:
                    code, text = self._explanations[name]
                    option = dns.edns.EDEOption(dns.edns.EDECode.make(code), text or None)
                    response.use_edns(0, options=[option])
                return _fail(response, name, trouble)
            if (name, kind) in self._records:
                response.answer.append(self._records[name, kind])
                if (name, kind) in self._slots:
                    self.add(name.to_text(), kind.name, *self._slots.pop((name, kind)))
                return None
            synthesized = self._follow_dname(response, name)
            if synthesized is not None:
                name = synthesized
                continue
            if (name, CNAME) not in self._records:
                break
            response.answer.append(self._records[name, CNAME])
            name = self._records[name, CNAME][0].target
        soa = dns.rrset.from_text(name, _TTL, "IN", "SOA", "ns. hostmaster. 1 60 60 60 60")
        response.authority.append(soa)
        if not any(owner.is_subdomain(name) for owner, _ in self._records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return None

    def _find_trouble(
        self, response: dns.message.Message, name: dns.name.Name, kind: RdataType
    ) -> Trouble | None:
        """Return how `name` misbehaves for the query that `response` answers; None if it does not."""
        key = (name, kind.name) if (name, kind.name) in self._troubles else (name, None)
        trouble = self._troubles.get(key)
        if trouble is Trouble.SERVFAIL_TWICE:
            self._troubles[key] = Trouble.SERVFAIL_ONCE
            return Trouble.SERVFAIL
        if trouble is Trouble.SERVFAIL_ONCE:
            del self._troubles[key]
            return Trouble.SERVFAIL
        if trouble is Trouble.BOGUS_WITHOUT_EDNS and response.edns >= 0:
            return Trouble.FORMERR
        if trouble in (Trouble.BOGUS, Trouble.BOGUS_WITHOUT_EDNS):
            return None if response.flags & dns.flags.CD else Trouble.SERVFAIL
        return trouble

    def _follow_dname(self, response: dns.message.Message, name: dns.name.Name) -> dns.name.Name | None:
        """Add the DNAME above `name` and the CNAME that follows from it (RFC 6672); return the target."""
        for (owner, kind), rrset in self._records.items():
            if kind == DNAME and name != owner and name.is_subdomain(owner):
                target = name.relativize(owner).derelativize(rrset[0].target)
                response.answer.append(rrset)
                response.answer.append(dns.rrset.from_text(name, _TTL, "IN", "CNAME", target.to_text()))
                return target
        return None


def _name(name: str) -> dns.name.Name:
    return dns.name.from_text(name)


def _fail(response: dns.message.Message, name: dns.name.Name, trouble: Trouble) -> Trouble | None:
    if trouble is Trouble.REFERRAL:
        response.answer.clear()
        response.authority.append(dns.rrset.from_text(name.parent(), _TTL, "IN", "NS", "ns.invalid."))
        return None
    if trouble is Trouble.OTHER_NAME:
        response.answer.append(dns.rrset.from_text("other.example.", _TTL, "IN", "A", "203.0.113.9"))
        return None
    if trouble is Trouble.NO_SOA:
        return None
    if trouble in _RCODES:
        response.answer.clear()
        response.set_rcode(dns.rcode.from_text(trouble.name))
        return None
    return trouble
