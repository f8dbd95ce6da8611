"""The checks of `Prober` with the real DNS: CNAME or addresses, CAA and ports."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator

import dns.exception
import dns.name
from dns.rdatatype import AAAA, CAA, A

from sslctl.config.settings import CdnSection, DnsSection
from sslctl.preflight import PreflightError
from sslctl.preflight.caa import CaaIdentity, find_refusal, read_property
from sslctl.preflight.dns_answer import DnsAnswer
from sslctl.preflight.lookup import DnsUnanswered, Resolver, to_text
from sslctl.preflight.ports import Address
from sslctl.preflight.ports import find_refusal as find_closed_port
from sslctl.rules.pass_result import Step
from sslctl.rules.reasons import Code
from sslctl.text import clean

_MAX_LINKS_SHOWN = 4


def _unknown() -> str:
    """Return that the account is not known."""
    return ""


class Preflight:
    """A `Prober` that queries DNS and connects to the addresses. Without state, so safe for use by many threads.

    `find_account_url` returns the URL of our account at the CA, or an empty string if there is none yet.
    """

    def __init__(
        self,
        cdn: CdnSection,
        dns_settings: DnsSection,
        caa_identities: tuple[str, ...],
        *,
        find_account_url: Callable[[], str] = _unknown,
    ) -> None:
        self._cdn = cdn
        self._resolver = Resolver(dns_settings)
        self._caa_identities = caa_identities
        self._find_account_url = find_account_url
        self._suffixes = tuple(dns.name.from_text(suffix.strip(".")) for suffix in cdn.cname_suffixes)

    def check(self, names: tuple[str, ...], cname_target: str, *, http_expected: bool) -> None:
        """See `Prober.check`. For each name: first A, AAAA and CNAME, then CAA, then the ports."""
        for name in names:
            step = Step.DNS
            try:
                addresses = self._require_cdn(dns.name.from_text(name), cname_target)
                step = Step.CAA
                self._require_caa(dns.name.from_text(name))
            except DnsUnanswered as error:
                raise PreflightError(Code.DNS_UNANSWERED, str(error), "an answer", step=step) from error
            if self._cdn.probe_ports:
                self._require_ports(addresses, http_expected=http_expected)

    def _require_cdn(self, name: dns.name.Name, cname_target: str) -> tuple[Address, ...]:
        """Return the addresses of `name`. Raise `PreflightError` if it does not lead to the CDN in both families."""
        wanted = self._describe_wanted(cname_target)
        v4 = self._resolver.look_up(name, A)
        if not self._is_cdn(v4):
            # The result is the same for any AAAA records.
            raise PreflightError(_elsewhere(v4), _describe(v4), wanted)
        # Both lookups are needed: without one of them it is unknown where the CA would connect.
        v6 = self._resolver.look_up(name, AAAA)
        if not (v4.links or v6.links or v4.records or v6.records):
            if v4.exists or v6.exists:
                raise PreflightError(
                    Code.CNAME_MISSING, f"no address and no CNAME at {to_text(name)}", wanted
                )
            raise PreflightError(Code.NXDOMAIN, f"NXDOMAIN for {to_text(name)}", wanted)
        if not self._is_cdn(v6):
            if v4.records:
                raise PreflightError(
                    Code.AAAA_ELSEWHERE, _describe(v6), "no AAAA record, or the CDN's addresses"
                )
            raise PreflightError(_elsewhere(v6), _describe(v6), wanted)
        addresses = (*_addresses(v4), *_addresses(v6))
        if not addresses:
            raise self._blame_target(v4 if v4.links else v6, cname_target, wanted)
        return addresses

    def _is_cdn(self, answer: DnsAnswer) -> bool:
        """Return whether the answer leads to the CDN, by name or by address.

        An apex can only lead by address, and so does a `www` that is a CNAME to such an apex. An answer without records
        leads nowhere else, so it counts as true.
        """
        return self._passes_cdn(answer) or all(
            any(address in network for network in self._cdn.ip_ranges) for address in _addresses(answer)
        )

    def _passes_cdn(self, answer: DnsAnswer) -> bool:
        """Return whether a link of the chain is below one of the CDN's suffixes, label by label.

        Any link is enough: from there on the CDN's own DNS decides where the chain leads.
        """
        return any(link.is_subdomain(suffix) for link in answer.links for suffix in self._suffixes)

    def _blame_target(self, answer: DnsAnswer, cname_target: str, wanted: str) -> PreflightError:
        """Return the error for a name that leads to the CDN, but to no address there.

        If C4's own target has no address, the CDN must fix it. Another name below its suffix is most likely a typing
        error of the customer.
        """
        target = _parse(cname_target)
        if target in answer.links or (target is None and self._passes_cdn(answer)):
            return PreflightError(Code.TARGET_MISSING, _describe(answer), "an address")
        return PreflightError(Code.CNAME_ELSEWHERE, _describe(answer), wanted)

    def _describe_wanted(self, cname_target: str) -> str:
        target = _parse(cname_target)
        if target is not None and any(target.is_subdomain(suffix) for suffix in self._suffixes):
            return to_text(target)
        return f"a name under {' or '.join(map(to_text, self._suffixes))}"

    def _require_caa(self, name: dns.name.Name) -> None:
        """Raise `PreflightError` if CAA forbids the CA. The closest RRset on the way to the root decides (RFC 8659 section 3).

        A name that does not exist has no CAA record. Each lookup follows CNAMEs; the climb to the parents does not.
        """
        if not self._caa_identities:
            return
        for ancestor in _climb(name):
            records = self._resolver.look_up(ancestor, CAA).records
            if not records:
                continue
            properties = [read_property(record) for record in records]
            refusal = find_refusal(properties, CaaIdentity(self._caa_identities, self._find_account_url()))
            if refusal is not None:
                found = f"{to_text(ancestor)} CAA {', '.join(sorted(map(str, properties)))}"
                if refusal.why:
                    found += f" ({refusal.why})"
                raise PreflightError(Code.CAA_FORBIDS, clean(found), clean(refusal.wanted))
            return

    def _require_ports(self, addresses: tuple[Address, ...], *, http_expected: bool) -> None:
        """Connect to the addresses that were checked: another lookup could return others (DNS rebinding)."""
        wanted_ports = [(self._cdn.https_port, Code.PORT_443_CLOSED)]
        if http_expected:
            wanted_ports.insert(0, (self._cdn.http_port, Code.PORT_80_CLOSED))
        for port, code in wanted_ports:
            refusal = find_closed_port(addresses, port, private=self._cdn.probe_private)
            if refusal:
                raise PreflightError(code, refusal, f"a listener on port {port}")


def _elsewhere(answer: DnsAnswer) -> Code:
    return Code.CNAME_ELSEWHERE if answer.links else Code.CNAME_MISSING


def _climb(name: dns.name.Name) -> Iterator[dns.name.Name]:
    while name != dns.name.root:
        yield name
        name = name.parent()


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
