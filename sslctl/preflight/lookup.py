"""One DNS lookup: an answer, or `DnsUnanswered`. "Could not ask" and "the answer is no" never mix."""

from __future__ import annotations

import time
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

from sslctl.config.settings import DnsSection
from sslctl.preflight import datagram
from sslctl.preflight.dns_answer import DnsAnswer, follow
from sslctl.text import clean


class DnsUnanswered(Exception):
    """No name server gave a usable answer: nothing follows from that. `str()` of it is cleaned text."""


class Resolver:
    """Asks the configured resolvers, else the system's. Threads may share one.

    The first of several resolvers that answers is believed, whatever the others say or fail to say. Each lookup ends
    within `settings.timeout_seconds`.
    """

    def __init__(self, settings: DnsSection) -> None:
        self._resolver = _build(settings)
        self._first = _address_of_first(self._resolver)

    def look_up(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> DnsAnswer:
        """Ask for the records of type `kind` of an absolute `name`. Raises `DnsUnanswered`."""
        until = time.monotonic() + self._resolver.lifetime
        if self._first is not None:
            plain = datagram.ask(self._first, name, kind, self._resolver.timeout)
            if plain is not None:
                return plain
        return self._look_further(name, kind, max(0.0, until - time.monotonic()))

    def _look_further(self, name: dns.name.Name, kind: dns.rdatatype.RdataType, seconds: float) -> DnsAnswer:
        """Begin anew, with all that dnspython knows to do about an answer that is not plain, or none."""
        try:
            response = self._ask(name, kind, seconds)
        except dns.resolver.NoNameservers as trouble:
            overlong = _find_overlong_chain(trouble)
            if overlong is None:
                raise DnsUnanswered(_describe(name, kind, trouble)) from trouble
            response = overlong
        except dns.exception.DNSException as trouble:
            raise DnsUnanswered(_describe(name, kind, trouble)) from trouble
        answer = _read(response, name, kind)
        if not answer.records and _is_referral(response):
            raise DnsUnanswered(f"{kind.name} of {to_text(name)}: the name server refers to others")
        return answer

    def _ask(self, name: dns.name.Name, kind: dns.rdatatype.RdataType, seconds: float) -> dns.message.Message:
        try:
            return self._resolver.resolve(
                name, kind, raise_on_no_answer=False, search=False, lifetime=seconds
            ).response
        except dns.resolver.NXDOMAIN as answer:
            return cast("dns.message.Message", answer.kwargs["responses"][name])


def to_text(name: dns.name.Name) -> str:
    """Give `name` in lower case, without its trailing dot, safe to show: a label in DNS may hold any byte."""
    return clean(name.to_text(omit_final_dot=True).lower())


def _build(settings: DnsSection) -> dns.resolver.Resolver:
    try:
        resolver = dns.resolver.Resolver(configure=not settings.resolvers)
    except dns.resolver.NoResolverConfiguration:
        # A machine without name servers can still list what it manages; every lookup will say `DnsUnanswered`.
        resolver = dns.resolver.Resolver(configure=False)
    if settings.resolvers:
        resolver.nameservers = [dns.nameserver.Do53Nameserver(*address) for address in settings.resolvers]
    # Silence of one resolver must leave time to ask each of the others, and each of them once more; the first one is
    # asked for a plain answer before that.
    resolver.timeout = settings.timeout_seconds / (1 + 2 * max(1, len(resolver.nameservers)))
    resolver.lifetime = settings.timeout_seconds
    return resolver


def _address_of_first(resolver: dns.resolver.Resolver) -> tuple[str, int] | None:
    match list(resolver.nameservers):
        case [dns.nameserver.Do53Nameserver(address=str(address), port=int(port)), *_]:
            return address, port
        case [str(address), *_]:
            # As dnspython reads resolv.conf.
            return address, resolver.port
    return None


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


def _find_overlong_chain(trouble: dns.resolver.NoNameservers) -> dns.message.Message | None:
    """Give the answer that dnspython threw away for its CNAME chain alone: it is an answer, and tells a lot."""
    rejected = (error[4] for error in _errors(trouble) if isinstance(error[3], dns.message.ChainTooLong))
    return next(rejected, None)


def _is_referral(response: dns.message.Message) -> bool:
    """Tell whether the server merely names other servers, as one that does not recurse does (RFC 2308 section 2.2).

    Its empty answer says nothing about the name.
    """
    kinds = {rrset.rdtype for rrset in response.authority}
    authoritative = bool(response.flags & dns.flags.AA)
    return not authoritative and dns.rdatatype.NS in kinds and dns.rdatatype.SOA not in kinds


def _errors(trouble: dns.exception.DNSException) -> list[dns.resolver.ErrorTuple]:
    errors: list[dns.resolver.ErrorTuple] = trouble.kwargs.get("errors", [])
    return errors


def _describe(name: dns.name.Name, kind: dns.rdatatype.RdataType, trouble: dns.exception.DNSException) -> str:
    """Say what each name server did, once each."""
    seen = dict.fromkeys(
        f"{_shown(server)} said {clean(what, 80)}" for server, _, _, what, _ in _errors(trouble)
    )
    return clean(f"{kind.name} of {to_text(name)}: {'; '.join(seen) or 'no name server answered'}")


def _shown(server: object) -> str:
    # dnspython names a server "Do53:192.0.2.1@53".
    return clean(server, 80).removeprefix("Do53:").replace("@", " port ")
