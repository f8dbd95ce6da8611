"""Whether a name points at the CDN, by a CNAME or by its addresses, as one resolver sees it."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

import dns.exception
import dns.name
from dns.rdatatype import AAAA, CNAME, A, RdataType

from sslctl.config.settings import CdnSection
from sslctl.preflight import PreflightError, PreflightWarning
from sslctl.preflight.dns_answer import DnsAnswer
from sslctl.preflight.lookup import DnssecBogus, DnsUnanswered, Resolver, to_text
from sslctl.preflight.ports import Address
from sslctl.preflight.records import make_record, point_at_cdn, remove_ipv6, replace_cname
from sslctl.rules.pass_result import Step
from sslctl.rules.reasons import Code
from sslctl.text import clean

_MAX_LINKS_SHOWN = 4
# One by one: a silent server costs the timeout each time.
_MAX_LINKS_ASKED = 4


@dataclass(frozen=True, slots=True)
class Pointed:
    """The addresses of a name that points at the CDN, in the families that DNS answered for."""

    addresses: tuple[Address, ...]
    warning: PreflightWarning | None = None


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Where a name should point: C4's `target` for it, None if there is no usable one, and a `text` for people."""

    target: dns.name.Name | None
    text: str


class Cdn:
    """How a domain is recognised that points at the CDN. Without state."""

    def __init__(self, section: CdnSection) -> None:
        self._ip_ranges = section.ip_ranges
        self._suffixes = tuple(dns.name.from_text(suffix.strip(".")) for suffix in section.cname_suffixes)

    def require_pointed(self, resolver: Resolver, name: dns.name.Name, cname_target: str) -> Pointed:
        """Return the addresses of `name`, which points at the CDN.

        Raise `PreflightError` if it does not lead to the CDN in both families. A family that DNS does not answer for is only
        a warning: the CA uses the other one, and fails if it has an address in neither (Boulder, `va/dns.go`, `getAddrs`).
        A name that leads to C4's own target points at the CDN. If the configuration does not cover that target, this is only
        a warning too: C4 knows better.
        """
        wanted = self._find_wanted(name, cname_target)
        v4 = look_up(resolver, name, A)
        if isinstance(v4, DnsAnswer) and not self._is_cdn(v4, wanted):
            # The result is the same for any AAAA records.
            raise self._elsewhere(resolver, v4, A, wanted)
        v6 = look_up(resolver, name, AAAA)
        if isinstance(v4, DnsUnanswered):
            return self._point_by_one(resolver, name, AAAA, v6, A, v4, wanted)
        if isinstance(v6, DnsUnanswered):
            return self._point_by_one(resolver, name, A, v4, AAAA, v6, wanted)
        if not (v4.links or v6.links or v4.records or v6.records):
            code, found = Code.NXDOMAIN, f"NXDOMAIN for {to_text(name)}"
            if v4.exists or v6.exists:
                code, found = Code.CNAME_MISSING, f"no address and no CNAME at {to_text(name)}"
            known = {A: v4, AAAA: v6}
            records = point_at_cdn(resolver, name, known, wanted.target, self._own_addresses)
            raise PreflightError(code, found, wanted.text, records=records)
        if not self._is_cdn(v6, wanted):
            if v4.records:
                records = remove_ipv6(resolver, v6, wanted.target, self._own_addresses)
                raise PreflightError(
                    Code.AAAA_ELSEWHERE,
                    _describe(v6),
                    "no AAAA record, or the CDN's addresses",
                    records=records,
                )
            raise self._elsewhere(resolver, v6, AAAA, wanted)
        addresses = (*_addresses(v4), *_addresses(v6))
        if not addresses:
            raise self._blame_target(v4 if v4.links else v6, wanted)
        return Pointed(addresses, self._warn_of_suffix(v4, v6))

    def passes(self, links: Sequence[dns.name.Name], cname_target: str) -> bool:
        """Return whether a link of a CNAME chain is `cname_target`, or below one of the CDN's suffixes, label by label.

        Any link is enough: from there on the CDN's own DNS decides where the chain leads.
        """
        return self._find_link(links, _parse(cname_target)) is not None

    def _find_link(
        self, links: Sequence[dns.name.Name], target: dns.name.Name | None
    ) -> dns.name.Name | None:
        return next((link for link in links if link == target or self._covers(link)), None)

    def _covers(self, link: dns.name.Name) -> bool:
        return any(link.is_subdomain(suffix) for suffix in self._suffixes)

    def _is_configured(self, answer: DnsAnswer) -> bool:
        """Return whether the configuration alone shows that the answer leads to the CDN."""
        return any(map(self._covers, answer.links)) or all(
            any(address in network for network in self._ip_ranges) for address in _addresses(answer)
        )

    def _warn_of_suffix(self, *answers: DnsAnswer) -> PreflightWarning | None:
        """Return a warning if only C4's target shows that one of `answers` leads to the CDN."""
        found = next((answer for answer in answers if not self._is_configured(answer)), None)
        return None if found is None else PreflightWarning(Code.SUFFIX_UNKNOWN, _describe(found))

    def _is_cdn(self, answer: DnsAnswer, wanted: _Wanted) -> bool:
        """Return whether the answer leads to the CDN, by name or by address.

        An apex can only lead by address, and so does a `www` that is a CNAME to such an apex. An answer without records
        leads nowhere else, so it counts as true.
        """
        return wanted.target in answer.links or self._is_configured(answer)

    def _point_by_one(
        self,
        resolver: Resolver,
        name: dns.name.Name,
        kind: RdataType,
        answer: DnsAnswer | DnsUnanswered,
        missing: RdataType,
        error: DnsUnanswered,
        wanted: _Wanted,
    ) -> Pointed:
        """Return the addresses of `name` by the `answer` for `kind` alone; the lookup of the type `missing` ended with `error`."""
        if isinstance(answer, DnsUnanswered):
            if isinstance(answer, DnssecBogus) and not isinstance(error, DnssecBogus):
                error, missing = answer, kind
            raise self._unanswered(resolver, find_links(resolver, name), missing, error, wanted) from error
        if not self._is_cdn(answer, wanted):
            raise self._elsewhere(resolver, answer, kind, wanted)
        if not answer.records:
            raise self._unanswered(resolver, answer.links, missing, error, wanted) from error
        is_of_cdn = self._is_target_broken(resolver, answer.links, missing, wanted)
        code = Code.TARGET_ADDRESS_UNANSWERED if is_of_cdn else Code.ADDRESS_UNANSWERED
        return Pointed(_addresses(answer), PreflightWarning(code, str(error)))

    def _unanswered(
        self,
        resolver: Resolver,
        links: Sequence[dns.name.Name],
        kind: RdataType,
        error: DnsUnanswered,
        wanted: _Wanted,
    ) -> PreflightError:
        """Return the error for a name without an answer, whose CNAME chain begins with `links`."""
        if self._is_target_broken(resolver, links, kind, wanted):
            return PreflightError(Code.TARGET_UNANSWERED, str(error), "an answer")
        return unanswered(error, Step.DNS)

    def _is_target_broken(
        self, resolver: Resolver, links: Sequence[dns.name.Name], kind: RdataType, wanted: _Wanted
    ) -> bool:
        """Return whether the first name of the CDN in `links` itself has no answer for `kind`."""
        link = self._find_link(links, wanted.target)
        return link is not None and isinstance(look_up(resolver, link, kind), DnsUnanswered)

    def _blame_target(self, answer: DnsAnswer, wanted: _Wanted) -> PreflightError:
        """Return the error for a name that leads to the CDN, but to no address there.

        If C4's own target has no address, the CDN must fix it. Another name below its suffix is most likely a typing
        error of the customer.
        """
        if wanted.target in answer.links or (wanted.target is None and any(map(self._covers, answer.links))):
            record = make_record(A, answer.chain[-1], (), None)
            return PreflightError(Code.TARGET_MISSING, _describe(answer), "an address", records=(record,))
        records = replace_cname(answer, wanted.target)
        return PreflightError(Code.CNAME_ELSEWHERE, _describe(answer), wanted.text, records=records)

    def _elsewhere(
        self, resolver: Resolver, answer: DnsAnswer, kind: RdataType, wanted: _Wanted
    ) -> PreflightError:
        """Return the error for a name that leads elsewhere by its CNAME, or by its addresses of type `kind`."""
        if answer.links:
            code, records = Code.CNAME_ELSEWHERE, replace_cname(answer, wanted.target)
        else:
            code = Code.CNAME_MISSING
            known = {kind: answer}
            records = point_at_cdn(resolver, answer.chain[0], known, wanted.target, self._own_addresses)
        return PreflightError(code, _describe(answer), wanted.text, records=records)

    def _own_addresses(self, answer: DnsAnswer) -> tuple[Address, ...]:
        """Return the addresses of `answer` that are in the CDN's ranges; at an apex only those count as the CDN's."""
        return tuple(
            address
            for address in _addresses(answer)
            if any(address in network for network in self._ip_ranges)
        )

    def _find_wanted(self, name: dns.name.Name, cname_target: str) -> _Wanted:
        target = _parse(cname_target)
        if target is None or target == name:
            return _Wanted(None, f"a name under {' or '.join(map(to_text, self._suffixes))}")
        return _Wanted(target, to_text(target))


def unanswered(error: DnsUnanswered, step: Step) -> PreflightError:
    """Return the error for a lookup that ended with `error` at `step`."""
    if isinstance(error, DnssecBogus):
        return PreflightError(
            Code.DNSSEC_BOGUS,
            str(error),
            "valid signatures, or no DS record",
            step=step,
            records=error.records,
        )
    return PreflightError(Code.DNS_UNANSWERED, str(error), "an answer", step=step)


def look_up(resolver: Resolver, name: dns.name.Name, kind: RdataType) -> DnsAnswer | DnsUnanswered:
    """Return the answer, or the error if there is none: one family without an answer is no reason to stop."""
    try:
        return resolver.look_up(name, kind)
    except DnsUnanswered as error:
        return error


def find_addresses(resolver: Resolver, name: dns.name.Name) -> tuple[Address, ...]:
    """Return the addresses of `name`, wherever it points, in the families that DNS answers for."""
    answers = (look_up(resolver, name, kind) for kind in (A, AAAA))
    return tuple(each for answer in answers if isinstance(answer, DnsAnswer) for each in _addresses(answer))


def find_target_addresses(resolver: Resolver, cname_target: str) -> tuple[Address, ...]:
    """Return the addresses of the target on the CDN that C4 named; none if it is not usable."""
    target = _parse(cname_target)
    return () if target is None else find_addresses(resolver, target)


def find_links(resolver: Resolver, name: dns.name.Name) -> list[dns.name.Name]:
    """Return the first links of the CNAME chain of `name`, asked for one by one, as far as DNS answers."""
    links: list[dns.name.Name] = []
    while len(links) < _MAX_LINKS_ASKED:
        answer = look_up(resolver, links[-1] if links else name, CNAME)
        if isinstance(answer, DnsUnanswered) or not answer.links:
            break
        links += answer.links
    return links


def _addresses(answer: DnsAnswer) -> tuple[Address, ...]:
    return tuple(ipaddress.ip_address(record.to_text()) for record in answer.records)


def _parse(cname_target: str) -> dns.name.Name | None:
    try:
        return dns.name.from_text(cname_target.strip(".")) if cname_target.strip(".") else None
    except dns.exception.DNSException:
        return None


def _describe(answer: DnsAnswer) -> str:
    """Return the chain of an answer as "name → link → addresses"."""
    chain = [to_text(link) for link in answer.chain]
    if len(chain) > _MAX_LINKS_SHOWN:
        chain[_MAX_LINKS_SHOWN - 1 : -1] = [f"({len(chain) - _MAX_LINKS_SHOWN} more)"]
    addresses = ", ".join(map(str, _addresses(answer)))
    return clean(" → ".join(chain) + _describe_end(answer, addresses))


def _describe_end(answer: DnsAnswer, addresses: str) -> str:
    if answer.endless:
        return ", a chain without an end"
    if not answer.exists:
        return ", which does not exist"
    if answer.links:
        return "" if addresses else ", which has no address"
    return f" → {addresses}"
