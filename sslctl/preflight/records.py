"""The DNS records that make a name point at the CDN, or let the CA issue, as data (`DnsRecord`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import dns.name
import dns.rdata
from dns.rdatatype import AAAA, CNAME, SOA, A, RdataType

from sslctl.preflight.dns_answer import DnsAnswer
from sslctl.preflight.lookup import DnsUnanswered, Resolver, to_text
from sslctl.preflight.ports import Address
from sslctl.rules.dns_record import DnsRecord
from sslctl.rules.names import registered_domain

_ADDRESS_TYPES = (A, AAAA)
# No domain needs more records of one type at one name, and whoever runs its DNS decides how many there are.
_MAX_VALUES = 20

ReadAddresses = Callable[[DnsAnswer], tuple[Address, ...]]
"""A function that returns those addresses of an answer that are the CDN's."""


def make_record(
    kind: RdataType, name: dns.name.Name, current: Iterable[str], wanted: Iterable[str] | None
) -> DnsRecord:
    """Return a `DnsRecord`. It has at most 20 current values; more than 20 wanted ones count as not known."""
    needed = None if wanted is None else tuple(wanted)
    if needed is not None and len(needed) > _MAX_VALUES:
        needed = None
    return DnsRecord(kind.name, to_text(name), tuple(current)[:_MAX_VALUES], needed)


def replace_cname(answer: DnsAnswer, target: dns.name.Name | None) -> tuple[DnsRecord, ...]:
    """Return the change of the CNAME of a name that has one, as in `answer`, to one to `target`; None is an unknown one."""
    return (make_record(CNAME, answer.chain[0], [to_text(answer.links[0])], _known(target)),)


def remove_ipv6(
    resolver: Resolver, answer: DnsAnswer, target: dns.name.Name | None, read_addresses: ReadAddresses
) -> tuple[DnsRecord, ...]:
    """Return the change of the AAAA records in `answer` to those that `target` has now; their removal if it has none."""
    wanted = _find_addresses(resolver, target, AAAA, read_addresses) or ()
    return (make_record(AAAA, answer.chain[-1], _texts(answer.records), wanted),)


def point_at_cdn(
    resolver: Resolver,
    name: dns.name.Name,
    known: dict[RdataType, DnsAnswer],
    target: dns.name.Name | None,
    read_addresses: ReadAddresses,
) -> tuple[DnsRecord, ...]:
    """Return the records by which `name`, which has no CNAME, points at `target`; `known` has the answers about it so far.

    A CNAME excludes other records (RFC 1034 section 3.6.2), so addresses at the name must go. The apex of a zone has other
    records always, so it gets those addresses of `target` instead that are known to be the CDN's.
    """
    current = {kind: _texts(_look_up(resolver, name, kind, known)) for kind in _ADDRESS_TYPES}
    if not _is_apex(resolver, name):
        removed = [make_record(kind, name, texts, ()) for kind, texts in current.items() if texts]
        return (*removed, make_record(CNAME, name, (), _known(target)))
    wanted = {kind: _find_addresses(resolver, target, kind, read_addresses) for kind in _ADDRESS_TYPES}
    if not any(wanted.values()):
        removed = [make_record(AAAA, name, current[AAAA], ())] if current[AAAA] else []
        return (make_record(A, name, current[A], None), *removed)
    return tuple(
        make_record(kind, name, current[kind], texts)
        for kind, texts in wanted.items()
        if texts is not None and texts != current[kind]
    )


def _known(target: dns.name.Name | None) -> list[str] | None:
    return None if target is None else [to_text(target)]


def _is_apex(resolver: Resolver, name: dns.name.Name) -> bool:
    """Return whether `name` is the apex of a zone, as far as DNS answers; a registered domain is one."""
    text = to_text(name)
    return registered_domain(text) == text or bool(_look_up(resolver, name, SOA))


def _find_addresses(
    resolver: Resolver, target: dns.name.Name | None, kind: RdataType, read_addresses: ReadAddresses
) -> list[str] | None:
    """Return the CDN's addresses that `target` has, at most 20; None if they are not known."""
    if target is None:
        return None
    try:
        return sorted(map(str, read_addresses(resolver.look_up(target, kind))))[:_MAX_VALUES]
    except DnsUnanswered:
        return None


def _look_up(
    resolver: Resolver,
    name: dns.name.Name,
    kind: RdataType,
    known: dict[RdataType, DnsAnswer] | None = None,
) -> tuple[dns.rdata.Rdata, ...]:
    """Return the records that `name` itself has, out of `known` if they are there; none if DNS does not answer."""
    try:
        answer = (known or {}).get(kind) or resolver.look_up(name, kind)
    except DnsUnanswered:
        return ()
    return () if answer.links else answer.records


def _texts(records: Iterable[dns.rdata.Rdata]) -> list[str]:
    return sorted(record.to_text() for record in records)
