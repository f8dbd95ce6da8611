"""The resolver of a sandbox: it forwards queries to Pebble's DNS server, and adds records and faults that this server does not have."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Self

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset
from dns.rdatatype import AAAA, ANY, CAA, CNAME, A, RdataType

from sslctl.errors import StateError
from sslctl.sandbox.dns_server import bind, pack
from sslctl.sandbox.domain_records import Content, DnsFault, DnsTrouble, DomainRecords
from sslctl.sandbox.listeners import ADDRESS, Listener

_TTL = 1
_UPSTREAM_SECONDS = 5


class SandboxResolver:
    """A DNS server over UDP and TCP on a free port of loopback; a context manager.

    `find_upstream` returns the address and port of Pebble's DNS server. CAA and AAAA records of `records` replace what that server
    has for the name, its CNAME too.
    """

    def __init__(self, records: DomainRecords, find_upstream: Callable[[], tuple[str, int]]) -> None:
        self._records = records
        self._find_upstream = find_upstream
        self._stopping = threading.Event()
        self._servers = bind(self._respond)
        self._listeners: list[Listener] = []
        self.port: int = self._servers[0].server_address[1]

    def __enter__(self) -> Self:
        self._listeners = [Listener(server) for server in self._servers]
        return self

    def __exit__(self, *_: object) -> None:
        # Delayed answers are sent at once, so that no thread waits for them.
        self._stopping.set()
        for listener in self._listeners:
            listener.stop()

    @property
    def address(self) -> str:
        """`address:port` of the resolver."""
        return f"{ADDRESS}:{self.port}"

    def _respond(self, wire: bytes, *, over_udp: bool) -> bytes:
        """Return the response to a query; empty if there is none."""
        try:
            query = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            return b""
        if not query.question or query.flags & dns.flags.QR:
            return b""
        try:
            content = self._records.read()
            response = self._resolve(query, content)
        except (dns.exception.DNSException, OSError, EOFError, StateError):
            return pack(_fail(query), over_udp=over_udp)
        trouble = content.trouble
        if trouble is not None and trouble.applies_to(_names(response)):
            response = self._make_trouble(trouble, query, response)
        return pack(response, over_udp=over_udp)

    def _resolve(self, query: dns.message.Message, content: Content) -> dns.message.Message:
        question = query.question[0]
        added = _find_added(content, question.name, question.rdtype)
        if added is not None:
            response = _respond_to(query)
            response.answer.append(added)
            return response
        found = self._ask(question.name, question.rdtype)
        # Pebble's server knows few types. There are no records of others, but the name may be an alias.
        # Of ANY, one type is enough (RFC 8482, section 4.1).
        is_any = question.rdtype == ANY
        for kind in (CNAME, A, AAAA) if is_any else (CNAME,):
            if found.rcode() == dns.rcode.NOTIMP or (is_any and not found.answer):
                found = self._ask(question.name, kind)
        response = _respond_to(query)
        response.set_rcode(found.rcode())
        response.answer, response.authority = found.answer, found.authority
        targets = [rrset[0].target for rrset in found.answer if rrset.rdtype == CNAME]
        added = _find_added(content, targets[-1], question.rdtype) if targets else None
        if added is not None:
            response.answer.append(added)
        return response

    def _ask(self, name: dns.name.Name, kind: RdataType) -> dns.message.Message:
        """Return the response of Pebble's DNS server."""
        address, port = self._find_upstream()
        # Without EDNS, which not every release of it answers in the same way.
        query = dns.message.make_query(name, kind)
        return dns.query.udp_with_fallback(query, address, _UPSTREAM_SECONDS, port)[0]

    def _make_trouble(
        self, trouble: DnsTrouble, query: dns.message.Message, response: dns.message.Message
    ) -> dns.message.Message:
        if trouble.fault is DnsFault.SLOW:
            self._stopping.wait(trouble.seconds)
            return response
        if query.flags & dns.flags.CD:
            return response
        failed = _fail(query)
        if query.edns >= 0:
            failed.use_edns(
                0, options=[dns.edns.EDEOption(dns.edns.EDECode.DNSSEC_BOGUS, "made by the sandbox")]
            )
        return failed


def _names(response: dns.message.Message) -> list[str]:
    """Return the names that a resolver looks up for the response, in lower case, without trailing dots.

    It follows the CNAMEs, unless a CNAME is what was asked for.
    """
    question = response.question[0]
    found = [question.name]
    if question.rdtype != CNAME:
        found += [rrset[0].target for rrset in response.answer if rrset.rdtype == CNAME]
    return [name.to_text(omit_final_dot=True).lower() for name in found]


def _find_added(content: Content, name: dns.name.Name, kind: RdataType) -> dns.rrset.RRset | None:
    record = content.domains.get(name.to_text(omit_final_dot=True).lower())
    if record is None:
        return None
    values = {CAA: record.caa, AAAA: record.aaaa}.get(kind, ())
    return dns.rrset.from_text_list(name, _TTL, "IN", kind, values) if values else None


def _respond_to(query: dns.message.Message) -> dns.message.Message:
    response = dns.message.make_response(query, recursion_available=True)
    response.flags |= query.flags & dns.flags.CD
    return response


def _fail(query: dns.message.Message) -> dns.message.Message:
    response = _respond_to(query)
    response.set_rcode(dns.rcode.SERVFAIL)
    return response
