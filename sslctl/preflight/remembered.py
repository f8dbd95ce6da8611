"""A resolver that asks each question once, until a deadline."""

from __future__ import annotations

import time

import dns.name
from dns.rdatatype import RdataType

from sslctl.config.settings import DnsSection
from sslctl.preflight.dns_answer import DnsAnswer
from sslctl.preflight.lookup import DnsUnanswered, Resolver, to_text


class RememberedResolver(Resolver):
    """A `Resolver` that keeps each answer, so that all steps of one check see the same. For use by one thread.

    After `until` (`time.monotonic`) it makes no new lookup.
    """

    def __init__(self, settings: DnsSection, until: float) -> None:
        super().__init__(settings)
        self._until = until
        self._known: dict[tuple[dns.name.Name, RdataType], DnsAnswer | DnsUnanswered] = {}

    def look_up(self, name: dns.name.Name, kind: RdataType) -> DnsAnswer:
        """See `Resolver.look_up`."""
        key = (name, kind)
        if key not in self._known:
            self._known[key] = self._ask_once(name, kind)
        known = self._known[key]
        if isinstance(known, DnsUnanswered):
            raise known
        return known

    def _ask_once(self, name: dns.name.Name, kind: RdataType) -> DnsAnswer | DnsUnanswered:
        if time.monotonic() >= self._until:
            return DnsUnanswered(
                f"{kind.name} of {to_text(name)}: not asked, because earlier lookups took too long"
            )
        try:
            return super().look_up(name, kind)
        except DnsUnanswered as error:
            return error
