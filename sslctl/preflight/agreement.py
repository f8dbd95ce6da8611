"""Whether the configured resolvers agree: a second opinion on what the first one finds wrong with a name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

import dns.name

from sslctl.config.settings import DnsSection
from sslctl.preflight import PreflightError
from sslctl.preflight.lookup import Resolver
from sslctl.rules.pass_result import Step
from sslctl.rules.reasons import Code
from sslctl.text import clean

T = TypeVar("T")
Examine = Callable[[Resolver, dns.name.Name], T]
"""A function that examines a name with a resolver, and raises `PreflightError` if something is wrong."""

NO_ANSWER = (Code.DNS_UNANSWERED, Code.TARGET_UNANSWERED, Code.DNSSEC_BOGUS)
"""Codes that need no second opinion.

Another resolver that answers would have been used, and one that does not validate DNSSEC proves nothing.
"""


class Agreement:
    """The resolvers of `settings`, each made with `make`: `resolver` uses them all, and its first one that responds decides."""

    def __init__(self, settings: DnsSection, make: Callable[[DnsSection], Resolver] = Resolver) -> None:
        self.resolver = make(settings)
        # One by one, for a second opinion.
        self._others = {
            f"{address} port {port}": make(replace(settings, resolvers=((address, port),)))
            for address, port in settings.resolvers[1:]
        }

    def agree(self, examine: Examine[T], name: dns.name.Name) -> T:
        """Return what `examine` finds about `name` with a resolver. Raise `PreflightError` as it does.

        The first resolver that responds decides. If it finds something wrong, the others are asked too. If one of them finds
        nothing wrong, it is not known who is right, because a resolver may still have an earlier answer in its cache.
        """
        try:
            return examine(self.resolver, name)
        except PreflightError as error:
            dissent = find_dissent(error, self.opinions(examine, name))
            if dissent is None:
                raise
            raise dissent from error

    def opinions(
        self, examine: Examine[T], name: dns.name.Name
    ) -> Iterator[tuple[str, PreflightError | None]]:
        """Yield each resolver but the first, in words, and what it finds wrong with `name`; None if it finds nothing wrong."""
        for address, resolver in self._others.items():
            try:
                examine(resolver, name)
            except PreflightError as error:
                yield address, error
            else:
                yield address, None


def find_dissent(
    error: PreflightError, opinions: Iterator[tuple[str, PreflightError | None]]
) -> PreflightError | None:
    """Return the error that one of `opinions` contradicts `error`, which the first resolver leads to; None if none does."""
    if error.code in NO_ANSWER:
        return None
    address = next((address for address, opinion in opinions if opinion is None), None)
    if address is None:
        return None
    found = clean(f"{error.found} ({error.code}), but the resolver {address} finds nothing wrong")
    return PreflightError(Code.RESOLVERS_DISAGREE, found, "the same from each", step=error.step or Step.DNS)
