"""Ask for a random token through the names of domains, as the CA does: whether it is answered with a thumbprint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import dns.name

from sslctl.config.settings import CdnSection, DnsSection
from sslctl.preflight.challenge_fetch import Fetched
from sslctl.preflight.lookup import Resolver
from sslctl.preflight.pointing import find_addresses
from sslctl.preflight.token_probe import TokenProbe
from sslctl.rules.stateless_answer import key_authorization


def fetch_answers(
    cdn: CdnSection, dns_settings: DnsSection, names: Sequence[str], thumbprint: str
) -> dict[str, Fetched]:
    """Return what came back for each of `names` (A-labels). Names without an address, or without time left, are missing."""
    resolver = Resolver(dns_settings)
    addresses = {name: find_addresses(resolver, dns.name.from_text(name)) for name in names}
    reachable = {name: found for name, found in addresses.items() if found}
    results = TokenProbe(cdn, resolver).fetch_each(reachable, _Stateless(thumbprint))
    return dict(zip(reachable, results, strict=False))


class _Stateless:
    """A `Publisher` that publishes nothing: the edges answer by themselves."""

    def __init__(self, thumbprint: str) -> None:
        self._thumbprint = thumbprint

    @contextmanager
    def published(self, token: str) -> Iterator[str]:
        """See `Publisher.published`."""
        yield key_authorization(token, self._thumbprint)
