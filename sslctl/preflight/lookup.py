"""One DNS lookup: a `DnsAnswer`, or `DnsUnanswered`. "No response" is never taken for "no such record"."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.nameserver
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.resolver
import dns.rrset

from sslctl.config.settings import DnsSection
from sslctl.preflight import datagram, dnssec
from sslctl.preflight.dns_answer import DnsAnswer, follow
from sslctl.rules.dns_record import DnsRecord
from sslctl.text import clean


class DnsUnanswered(Exception):
    """No name server sent a usable response: nothing is known about the name. `str()` of it is cleaned text."""


class DnssecBogus(DnsUnanswered):
    """The records do not pass DNSSEC validation, so neither the resolver nor the CA uses them.

    `records` are the DS records to remove if the signatures are not repaired; empty if they are not known.
    """

    def __init__(self, message: str, records: tuple[DnsRecord, ...] = ()) -> None:
        super().__init__(message)
        self.records = records


class Resolver:
    """A client of the configured resolvers, or else of the system's. Safe for use by many threads.

    The first resolver that responds decides. Each lookup ends within `settings.timeout_seconds`.
    """

    def __init__(self, settings: DnsSection) -> None:
        self._resolver = _build(settings)
        self._servers = tuple(_addresses_of(self._resolver))

    def look_up(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> DnsAnswer:
        """Return the answer for the records of type `kind` of an absolute `name`. Raise `DnsUnanswered`."""
        until = time.monotonic() + self._resolver.lifetime
        if self._servers:
            plain = datagram.ask(self._servers[0], name, kind, self._resolver.timeout)
            if plain is not None:
                return plain
        return self._look_further(name, kind, until)

    def _look_further(self, name: dns.name.Name, kind: dns.rdatatype.RdataType, until: float) -> DnsAnswer:
        """Make the whole lookup again with dnspython, which handles every response and retries, until the time `until`."""
        try:
            response = self._ask(name, kind, max(0.0, until - time.monotonic()))
        except dns.resolver.NoNameservers as error:
            is_rejected = any(isinstance(each[3], dns.exception.FormError) for each in _errors(error))
            odd = self._read_odd_caa(name, until) if kind == dns.rdatatype.CAA and is_rejected else None
            if odd is not None:
                return odd
            usable = _find_overlong_chain(error) or self._ask_after_failure(name, kind, error, until)
            if usable is None:
                raise DnsUnanswered(_describe(name, kind, error)) from error
            response = usable
        except dns.exception.DNSException as error:
            raise DnsUnanswered(_describe(name, kind, error)) from error
        answer = _read(response, name, kind)
        if not answer.records and _is_referral(response):
            raise DnsUnanswered(f"{kind.name} of {to_text(name)}: the name server refers to others")
        if not (answer.records or answer.endless) and _is_of_another_name(response, kind):
            raise DnsUnanswered(f"{kind.name} of {to_text(name)}: the response is about another name")
        return answer

    def _ask(self, name: dns.name.Name, kind: dns.rdatatype.RdataType, seconds: float) -> dns.message.Message:
        try:
            return self._resolver.resolve(
                name, kind, raise_on_no_answer=False, search=False, lifetime=seconds
            ).response
        except dns.resolver.NXDOMAIN as answer:
            return cast("dns.message.Message", answer.kwargs["responses"][name])

    def _read_odd_caa(self, name: dns.name.Name, until: float) -> DnsAnswer | None:
        """Return the CAA records of a long response if dnspython rejected it; it rejects a tag that is not alphanumeric."""
        answers = (
            datagram.ask(server, name, dns.rdatatype.CAA, until - time.monotonic(), over_tcp=True)
            for server in self._servers
        )
        return next((answer for answer in answers if answer is not None), None)

    def _ask_after_failure(
        self,
        name: dns.name.Name,
        kind: dns.rdatatype.RdataType,
        error: dns.resolver.NoNameservers,
        until: float,
    ) -> dns.message.Message | None:
        """Return the response of a server that answered SERVFAIL and answers now; None if there is none.

        Raise `DnssecBogus` if DNSSEC is why it answered SERVFAIL.
        """
        failed = {
            str(each[0]) for each in _errors(error) if each[4] and each[4].rcode() == dns.rcode.SERVFAIL
        }
        for server in self._servers:
            if str(dns.nameserver.Do53Nameserver(*server)) not in failed:
                continue
            try:
                response = dnssec.ask_again(server, name, kind, until)
            except dnssec.ValidationFailed as bogus:
                text = f"{kind.name} of {to_text(name)}: {bogus} at {server[0]} port {server[1]}"
                raise DnssecBogus(clean(text), _removal_of(bogus.ds)) from error
            if response is not None:
                return response
        return None


def _removal_of(ds: dns.rrset.RRset | None) -> tuple[DnsRecord, ...]:
    if ds is None:
        return ()
    return (DnsRecord("DS", to_text(ds.name), tuple(sorted(record.to_text() for record in ds)), ()),)


def to_text(name: dns.name.Name) -> str:
    """Return `name` in lower case, without trailing dot, and cleaned: a DNS label may contain any byte."""
    return clean(name.to_text(omit_final_dot=True).lower())


def _build(settings: DnsSection) -> dns.resolver.Resolver:
    try:
        resolver = dns.resolver.Resolver(configure=not settings.resolvers)
    except dns.resolver.NoResolverConfiguration:
        # Without name servers the other commands still work; every lookup raises `DnsUnanswered`.
        resolver = dns.resolver.Resolver(configure=False)
    addresses = settings.resolvers or [
        (server, resolver.port) for server in resolver.nameservers if isinstance(server, str)
    ]
    resolver.nameservers = [dns.nameserver.Do53Nameserver(*address) for address in addresses]
    # `options edns0` in resolv.conf: a server that rejects EDNS would be asked in vain.
    resolver.use_edns(-1)
    # If one resolver is silent, there must be time for two queries to each of the others. The first one also gets a query
    # on the fast path before that.
    resolver.timeout = settings.timeout_seconds / (1 + 2 * max(1, len(resolver.nameservers)))
    resolver.lifetime = settings.timeout_seconds
    return resolver


def _addresses_of(resolver: dns.resolver.Resolver) -> Iterator[tuple[str, int]]:
    for server in resolver.nameservers:
        if isinstance(server, dns.nameserver.Do53Nameserver):
            yield server.address, server.port


def _read(response: dns.message.Message, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> DnsAnswer:
    targets = {
        rrset.name: rrset[0].target for rrset in response.answer if rrset.rdtype == dns.rdatatype.CNAME
    }
    chain, endless = follow(name, targets)
    records = response.get_rrset(response.answer, chain[-1], dns.rdataclass.IN, kind)
    return DnsAnswer(
        chain=chain,
        records=tuple(records or ()),
        exists=response.rcode() != dns.rcode.NXDOMAIN,
        endless=endless,
    )


def _find_overlong_chain(error: dns.resolver.NoNameservers) -> dns.message.Message | None:
    """Return the response that dnspython rejected only for its long CNAME chain, None if there is none."""
    rejected = (error[4] for error in _errors(error) if isinstance(error[3], dns.message.ChainTooLong))
    return next(rejected, None)


def _is_referral(response: dns.message.Message) -> bool:
    """Return whether the server only refers to other servers, as one without recursion does (RFC 2308 section 2.2).

    Its empty answer says nothing about the name.
    """
    kinds = {rrset.rdtype for rrset in response.authority}
    authoritative = bool(response.flags & dns.flags.AA)
    return not authoritative and dns.rdatatype.NS in kinds and dns.rdatatype.SOA not in kinds


def _is_of_another_name(response: dns.message.Message, kind: dns.rdatatype.RdataType) -> bool:
    """Return whether the response has records of type `kind`; the caller found that the name in the query has none."""
    return kind != dns.rdatatype.CNAME and any(rrset.rdtype == kind for rrset in response.answer)


def _errors(error: dns.exception.DNSException) -> list[dns.resolver.ErrorTuple]:
    errors: list[dns.resolver.ErrorTuple] = error.kwargs.get("errors", [])
    return errors


def _describe(name: dns.name.Name, kind: dns.rdatatype.RdataType, error: dns.exception.DNSException) -> str:
    """Return a text about the error of each name server, without repetition."""
    seen = dict.fromkeys(f"{_shown(server)}: {clean(what, 80)}" for server, _, _, what, _ in _errors(error))
    return clean(f"{kind.name} of {to_text(name)}: {'; '.join(seen) or 'no name server answered'}")


def _shown(server: object) -> str:
    # dnspython names a server "Do53:192.0.2.1@53".
    return clean(server, 80).removeprefix("Do53:").replace("@", " port ")
