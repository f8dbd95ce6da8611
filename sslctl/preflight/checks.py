"""The checks of `Prober` with the real DNS: CNAME or addresses, CAA, ports, and a token in place of a challenge."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import dns.name
from dns.rdatatype import CAA

from sslctl.config.settings import CdnSection, DnsSection
from sslctl.preflight import PreflightError, PreflightWarning, Publisher
from sslctl.preflight.caa import CaaIdentity, Property, find_refusal, permit, read_property
from sslctl.preflight.challenge_fetch import ChallengeFetcher, Outcome
from sslctl.preflight.lookup import DnsUnanswered, Resolver, to_text
from sslctl.preflight.pointing import Cdn, Pointed, unanswered
from sslctl.preflight.ports import Address
from sslctl.preflight.ports import find_refusal as find_closed_port
from sslctl.preflight.records import make_record
from sslctl.rules.dns_record import DnsRecord, join_records
from sslctl.rules.pass_result import Step
from sslctl.rules.reasons import Code
from sslctl.text import clean

# Another resolver that answers would have been used, and one that does not validate DNSSEC proves nothing.
_NO_ANSWER = (Code.DNS_UNANSWERED, Code.TARGET_UNANSWERED, Code.DNSSEC_BOGUS)
# Of how many names after the first one with a problem the records are looked for.
_MAX_OTHERS = 20

_Examine = Callable[[Resolver, dns.name.Name], Pointed]

_CODES = {Outcome.OTHER: Code.CHALLENGE_UNREACHABLE, Outcome.REFUSED: Code.PORT_80_CLOSED}
_TOKEN_SECONDS = 10
"""For one name; `_TOKENS_SECONDS` is for all names of a certificate."""
_TOKENS_SECONDS = 30


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
        self._fetcher = ChallengeFetcher(cdn, self._resolver)
        self._caa_identities = caa_identities
        self._find_account_url = find_account_url

    def check(
        self,
        names: tuple[str, ...],
        cname_target: str,
        *,
        http_expected: bool,
        publisher: Publisher | None = None,
    ) -> PreflightWarning | None:
        """See `Prober.check`. For each name: first A, AAAA and CNAME, then CAA, then the ports. Then the tokens."""
        warnings, addresses = [], dict[str, tuple[Address, ...]]()
        examined = self._examine_each(names, partial(self._examine, cname_target=cname_target))
        for name, pointed in zip(names, examined, strict=True):
            warnings.append(pointed.warning)
            if self._settings.probe_ports:
                self._require_ports(pointed.addresses, http_expected=http_expected)
            addresses[name] = pointed.addresses
        if publisher is not None and self._settings.probe_challenge:
            self._require_token(addresses, publisher)
        return next(filter(None, warnings), None)

    def check_pointing(self, names: tuple[str, ...], cname_target: str) -> None:
        """See `Prober.check_pointing`."""
        for _ in self._examine_each(names, partial(self._cdn.require_pointed, cname_target=cname_target)):
            pass

    def _examine_each(self, names: Sequence[str], examine: _Examine) -> Iterator[Pointed]:
        """Yield what `examine` finds about each of `names`. Raise `PreflightError` for the first problem, with the records of all names."""
        parsed = list(map(dns.name.from_text, names))
        for place, name in enumerate(parsed):
            try:
                pointed = self._agree(examine, name)
            except PreflightError as error:
                error.records = self._find_records(error, parsed[place + 1 :], examine)
                raise
            yield pointed

    def _find_records(
        self, error: PreflightError, others: Sequence[dns.name.Name], examine: _Examine
    ) -> tuple[DnsRecord, ...]:
        """Return the records that cure `error`, and the same problem of `others`, so that a person can set them at once."""
        records = [*error.records]
        for name in others[:_MAX_OTHERS] if records else ():
            try:
                self._agree(examine, name)
            except PreflightError as other:
                if other.code in _NO_ANSWER:
                    # Each further name might cost a timeout too.
                    break
                if other.code is error.code:
                    records += other.records
        return join_records(records)

    def _agree(self, examine: _Examine, name: dns.name.Name) -> Pointed:
        """Return what `examine` finds about `name` with a resolver. Raise `PreflightError` as it does.

        The first resolver that responds decides. If it finds something wrong, the others are asked too. If one of them finds
        nothing wrong, it is not known who is right, because a resolver may still have an earlier answer in its cache.
        """
        try:
            return examine(self._resolver, name)
        except PreflightError as error:
            if error.code in _NO_ANSWER:
                raise
            for address, resolver in self._others.items():
                try:
                    examine(resolver, name)
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
            identity = CaaIdentity(self._caa_identities, self._find_account_url())
            refusal = find_refusal(properties, identity)
            if refusal is None:
                return
            owner = " → ".join(map(to_text, answer.chain))
            found = f"{owner} CAA {', '.join(sorted(map(str, properties)))}"
            if refusal.why:
                found += f" ({refusal.why})"
            is_of_cdn = self._cdn.passes(answer.links, cname_target)
            code = Code.TARGET_CAA_FORBIDS if is_of_cdn else Code.CAA_FORBIDS
            permitted = permit(properties, identity)
            record = make_record(CAA, answer.chain[-1], _zone_texts(properties), _zone_texts(permitted))
            raise PreflightError(code, clean(found), clean(refusal.wanted), step=Step.CAA, records=(record,))

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

    def _require_token(self, addresses: Mapping[str, tuple[Address, ...]], publisher: Publisher) -> None:
        """Raise `PreflightError` if a name certainly answers with something else than what `publisher` serves.

        What did not respond proves nothing: the CA may see another path. So does a name for which no time was left.
        """
        token = secrets.token_urlsafe()
        # As long as a key authorization with a SHA-256 thumbprint (RFC 8555, section 8.1).
        content = f"{token}.{secrets.token_urlsafe()}"
        until = time.monotonic() + _TOKENS_SECONDS
        with publisher.published(token, content):
            for name, at in addresses.items():
                seconds = min(_TOKEN_SECONDS, until - time.monotonic())
                if seconds <= 0:
                    return
                fetched = self._fetcher.fetch(name, at, token, content, seconds=seconds)
                code = _CODES.get(fetched.outcome)
                if code is not None:
                    raise PreflightError(code, fetched.found, "the token that sslctl put there")


def _zone_texts(properties: Iterable[Property]) -> list[str]:
    return sorted(each.zone_text for each in properties)


def _climb(name: dns.name.Name) -> Iterator[dns.name.Name]:
    while name != dns.name.root:
        yield name
        name = name.parent()
