"""The checks of `Prober` with the real DNS: CNAME or addresses, CAA, ports, and a token in place of a challenge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from types import MappingProxyType
from typing import TypeVar

import dns.name

from sslctl.config.settings import CdnSection, DnsSection
from sslctl.preflight import PreflightError, PreflightWarning, Publisher
from sslctl.preflight.agreement import NO_ANSWER, Agreement, Examine
from sslctl.preflight.caa_check import CaaCheck
from sslctl.preflight.lookup import Resolver
from sslctl.preflight.old_host import find_host, is_old_host
from sslctl.preflight.old_host import find_problem as find_old_host_problem
from sslctl.preflight.pointing import Cdn, Pointed
from sslctl.preflight.ports import Address
from sslctl.preflight.ports import find_refusal as find_closed_port
from sslctl.preflight.token_probe import TokenProbe
from sslctl.preflight.token_probe import find_problem as find_token_problem
from sslctl.rules.dns_record import DnsRecord, join_records
from sslctl.rules.reasons import Code

# Of how many names after the first one with a problem the records are looked for.
_MAX_OTHERS = 20


T = TypeVar("T")
# The names of a CA in CAA records, and what returns the URL of our account there.
CaOfCaa = tuple[tuple[str, ...], Callable[[], str]]


def _unknown() -> str:
    """Return that the account is not known."""
    return ""


class Preflight:
    """A `Prober` that queries DNS and connects to the addresses. Without state, so safe for use by many threads.

    `find_account_url` returns the URL of our account at the CA, or an empty string if there is none yet. `fallbacks` has the same of
    each other CA by the URL of its directory.
    """

    def __init__(
        self,
        cdn: CdnSection,
        dns_settings: DnsSection,
        caa_identities: tuple[str, ...],
        *,
        find_account_url: Callable[[], str] = _unknown,
        fallbacks: Mapping[str, CaOfCaa] = MappingProxyType({}),
    ) -> None:
        self._settings = cdn
        self._cdn = Cdn(cdn)
        self._agreement = Agreement(dns_settings)
        self._caa = CaaCheck(self._cdn, caa_identities, find_account_url)
        self._caa_of_fallbacks = {ca: CaaCheck(self._cdn, *each) for ca, each in fallbacks.items()}
        self._tokens = TokenProbe(cdn, self._agreement.resolver)

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

    def check_before_cutover(
        self, names: tuple[str, ...], cname_target: str, *, publisher: Publisher | None = None
    ) -> PreflightWarning | None:
        """See `Prober.check_before_cutover`."""
        examine = partial(self._examine_old_host, cname_target=cname_target)
        pointed = dict(zip(names, self._examine_each(names, examine), strict=True))
        elsewhere = [each.warning for each in pointed.values() if is_old_host(each)]
        if not elsewhere:
            return None
        if publisher is not None and self._settings.probe_challenge:
            addresses = {name: each.addresses for name, each in pointed.items()}
            with closing(self._tokens.fetch_each(addresses, publisher)) as results:
                for each, fetched in zip(pointed.values(), results, strict=False):
                    old = find_old_host_problem(fetched, cname_target) if is_old_host(each) else None
                    problem = old or find_token_problem(fetched)
                    if problem is not None:
                        raise problem
        return elsewhere[0]

    def _examine_old_host(self, resolver: Resolver, name: dns.name.Name, cname_target: str) -> Pointed:
        """Return the addresses of `name`, which may be those of the old host. Raise `PreflightError`."""
        pointed = find_host(self._cdn, resolver, name, cname_target)
        self._caa.require_allowed(resolver, name, cname_target)
        return pointed

    def check_pointing(self, names: tuple[str, ...], cname_target: str) -> None:
        """See `Prober.check_pointing`."""
        for _ in self._examine_each(names, partial(self._cdn.require_pointed, cname_target=cname_target)):
            pass

    def check_caa(self, names: tuple[str, ...], cname_target: str, ca: str) -> None:
        """See `Prober.check_caa`. That of the first CA is part of `check`."""
        caa = self._caa_of_fallbacks.get(ca, self._caa)
        for _ in self._examine_each(names, partial(caa.require_allowed, cname_target=cname_target)):
            pass

    def _examine_each(self, names: Sequence[str], examine: Examine[T]) -> Iterator[T]:
        """Yield what `examine` finds about each of `names`. Raise `PreflightError` for the first problem, with the records of all names."""
        parsed = list(map(dns.name.from_text, names))
        for place, name in enumerate(parsed):
            try:
                pointed = self._agreement.agree(examine, name)
            except PreflightError as error:
                error.records = self._find_records(error, parsed[place + 1 :], examine)
                raise
            yield pointed

    def _find_records(
        self, error: PreflightError, others: Sequence[dns.name.Name], examine: Examine[T]
    ) -> tuple[DnsRecord, ...]:
        """Return the records that cure `error`, and the same problem of `others`, so that a person can set them at once."""
        records = [*error.records]
        for name in others[:_MAX_OTHERS] if records else ():
            try:
                self._agreement.agree(examine, name)
            except PreflightError as other:
                if other.code in NO_ANSWER:
                    # Each further name might cost a timeout too.
                    break
                if other.code is error.code:
                    records += other.records
        return join_records(records)

    def _examine(self, resolver: Resolver, name: dns.name.Name, cname_target: str) -> Pointed:
        """Return the addresses of `name`, which points at the CDN.

        Raise `PreflightError` if DNS or CAA would make an order fail.
        """
        pointed = self._cdn.require_pointed(resolver, name, cname_target)
        self._caa.require_allowed(resolver, name, cname_target)
        return pointed

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

        A name for which no time was left proves nothing.
        """
        with closing(self._tokens.fetch_each(addresses, publisher)) as results:
            for fetched in results:
                problem = find_token_problem(fetched)
                if problem is not None:
                    raise problem
