"""The checks of `Prober` with the real DNS: CNAME or addresses, CAA and ports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import dns.name
from dns.rdatatype import CAA

from sslctl.config.settings import CdnSection, DnsSection
from sslctl.preflight import PreflightError, PreflightWarning
from sslctl.preflight.caa import CaaIdentity, find_refusal, read_property
from sslctl.preflight.lookup import DnsUnanswered, Resolver, to_text
from sslctl.preflight.pointing import Cdn, Pointed, unanswered
from sslctl.preflight.ports import Address
from sslctl.preflight.ports import find_refusal as find_closed_port
from sslctl.rules.pass_result import Step
from sslctl.rules.reasons import Code
from sslctl.text import clean

# Another resolver that answers would have been used, and one that does not validate DNSSEC proves nothing.
_NO_ANSWER = (Code.DNS_UNANSWERED, Code.TARGET_UNANSWERED, Code.DNSSEC_BOGUS)


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
        self._settings = cdn
        self._cdn = Cdn(cdn)
        self._resolver = Resolver(dns_settings)
        # One by one, for a second opinion.
        self._others = {
            f"{address} port {port}": Resolver(replace(dns_settings, resolvers=((address, port),)))
            for address, port in dns_settings.resolvers[1:]
        }
        self._caa_identities = caa_identities
        self._find_account_url = find_account_url

    def check(
        self, names: tuple[str, ...], cname_target: str, *, http_expected: bool
    ) -> PreflightWarning | None:
        """See `Prober.check`. For each name: first A, AAAA and CNAME, then CAA, then the ports."""
        warnings = []
        for name in map(dns.name.from_text, names):
            pointed = self._agree(partial(self._examine, name=name, cname_target=cname_target))
            warnings.append(pointed.warning)
            if self._settings.probe_ports:
                self._require_ports(pointed.addresses, http_expected=http_expected)
        return next(filter(None, warnings), None)

    def check_pointing(self, names: tuple[str, ...], cname_target: str) -> None:
        """See `Prober.check_pointing`."""
        for name in map(dns.name.from_text, names):
            self._agree(partial(self._cdn.require_pointed, name=name, cname_target=cname_target))

    def _agree(self, examine: Callable[[Resolver], Pointed]) -> Pointed:
        """Return the addresses that `examine` finds with a resolver. Raise `PreflightError` as it does.

        The first resolver that responds decides. If it finds something wrong, the others are asked too. If one of them finds
        nothing wrong, it is not known who is right, because a resolver may still have an earlier answer in its cache.
        """
        try:
            return examine(self._resolver)
        except PreflightError as error:
            if error.code in _NO_ANSWER:
                raise
            for address, resolver in self._others.items():
                try:
                    examine(resolver)
                except PreflightError:
                    continue
                found = clean(f"{error.found} ({error.code}), but the resolver {address} finds nothing wrong")
                raise PreflightError(
                    Code.RESOLVERS_DISAGREE, found, "the same from each", step=error.step or Step.DNS
                ) from error
            raise

    def _examine(self, resolver: Resolver, name: dns.name.Name, cname_target: str) -> Pointed:
        """Return the addresses of `name`, which points at the CDN.

        Raise `PreflightError` if DNS or CAA would make an order fail.
        """
        pointed = self._cdn.require_pointed(resolver, name, cname_target)
        try:
            self._require_caa(resolver, name, cname_target)
        except DnsUnanswered as error:
            raise unanswered(error, Step.CAA) from error
        return pointed

    def _require_caa(self, resolver: Resolver, name: dns.name.Name, cname_target: str) -> None:
        """Raise `PreflightError` if CAA forbids the CA, or `DnsUnanswered`.

        The closest RRset on the way to the root decides (RFC 8659 section 3), and a lookup that fails before it is found may
        hide it (Boulder, `va/caa.go`, `selectCAA`). A name that does not exist has no CAA record. Each lookup follows CNAMEs;
        the climb to the parents does not.
        """
        if not self._caa_identities:
            return
        for ancestor in _climb(name):
            answer = resolver.look_up(ancestor, CAA)
            if answer.endless:
                raise DnsUnanswered(f"CAA of {to_text(ancestor)}: its CNAME chain has no end")
            if not answer.records:
                continue
            try:
                properties = [read_property(record) for record in answer.records]
            except ValueError as error:
                raise DnsUnanswered(f"CAA of {to_text(ancestor)}: {error}") from error
            refusal = find_refusal(properties, CaaIdentity(self._caa_identities, self._find_account_url()))
            if refusal is None:
                return
            owner = " → ".join(map(to_text, answer.chain))
            found = f"{owner} CAA {', '.join(sorted(map(str, properties)))}"
            if refusal.why:
                found += f" ({refusal.why})"
            is_of_cdn = self._cdn.passes(answer.links, cname_target)
            code = Code.TARGET_CAA_FORBIDS if is_of_cdn else Code.CAA_FORBIDS
            raise PreflightError(code, clean(found), clean(refusal.wanted), step=Step.CAA)

    def _require_ports(self, addresses: tuple[Address, ...], *, http_expected: bool) -> None:
        """Connect to the addresses that were checked: another lookup could return others (DNS rebinding)."""
        settings = self._settings
        wanted_ports = [(settings.https_port, Code.PORT_443_CLOSED)]
        if http_expected:
            wanted_ports.insert(0, (settings.http_port, Code.PORT_80_CLOSED))
        for port, code in wanted_ports:
            refusal = find_closed_port(addresses, port, private=settings.probe_private)
            if refusal:
                raise PreflightError(code, refusal, f"a listener on port {port}")


def _climb(name: dns.name.Name) -> Iterator[dns.name.Name]:
    while name != dns.name.root:
        yield name
        name = name.parent()
