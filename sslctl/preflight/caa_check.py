"""Whether CAA allows the CA to issue for a name: which records decide, and what they say about the CA."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import dns.name
from dns.rdatatype import CAA

from sslctl.preflight import PreflightError
from sslctl.preflight.caa import CaaIdentity, Property, find_refusal, permit, read_property
from sslctl.preflight.lookup import DnsUnanswered, Resolver, to_text
from sslctl.preflight.pointing import Cdn, unanswered
from sslctl.preflight.records import make_record
from sslctl.rules.pass_result import Step
from sslctl.rules.reasons import Code
from sslctl.text import clean


@dataclass(frozen=True, slots=True)
class DecidingRecords:
    """The CAA records that decide about a name: those at the end of `chain`, the name where they were found and its CNAMEs."""

    chain: tuple[dns.name.Name, ...]
    properties: tuple[Property, ...]

    def __str__(self) -> str:
        owner = " → ".join(map(to_text, self.chain))
        return clean(f"{owner} CAA {', '.join(sorted(map(str, self.properties)))}")


class CaaCheck:
    """The check of CAA for the CA that is known as `identities`; without any, nothing is checked.

    `find_account_url` returns the URL of our account at the CA, or an empty string if there is none yet.
    """

    def __init__(self, cdn: Cdn, identities: tuple[str, ...], find_account_url: Callable[[], str]) -> None:
        self._cdn = cdn
        self._identities = identities
        self._find_account_url = find_account_url

    def require_allowed(
        self, resolver: Resolver, name: dns.name.Name, cname_target: str
    ) -> DecidingRecords | None:
        """Return the records that decide about `name`, None if there are none. Raise `PreflightError` if they forbid the CA.

        It is raised too if DNS does not answer. `cname_target` is the domain's name on the CDN, from C4's record.
        """
        if not self._identities:
            return None
        try:
            deciding = _find_deciding(resolver, name)
        except DnsUnanswered as error:
            raise unanswered(error, Step.CAA) from error
        if deciding is None:
            return None
        identity = CaaIdentity(self._identities, self._find_account_url())
        refusal = find_refusal(deciding.properties, identity)
        if refusal is None:
            return deciding
        found = f"{deciding} ({refusal.why})" if refusal.why else str(deciding)
        is_of_cdn = self._cdn.passes(deciding.chain[1:], cname_target)
        code = Code.TARGET_CAA_FORBIDS if is_of_cdn else Code.CAA_FORBIDS
        permitted = permit(deciding.properties, identity)
        record = make_record(
            CAA, deciding.chain[-1], _zone_texts(deciding.properties), _zone_texts(permitted)
        )
        raise PreflightError(code, clean(found), clean(refusal.wanted), step=Step.CAA, records=(record,))


def _find_deciding(resolver: Resolver, name: dns.name.Name) -> DecidingRecords | None:
    """Return the CAA records that decide about `name`, None if there are none. Raise `DnsUnanswered`.

    The closest RRset on the way to the root decides (RFC 8659 section 3), and a lookup that fails before it is found may
    hide it (Boulder, `va/caa.go`, `selectCAA`). A name that does not exist has no CAA record. Each lookup follows CNAMEs;
    the climb to the parents does not.
    """
    for ancestor in _climb(name):
        answer = resolver.look_up(ancestor, CAA)
        if answer.endless:
            raise DnsUnanswered(f"CAA of {to_text(ancestor)}: its CNAME chain has no end")
        if not answer.records:
            continue
        try:
            return DecidingRecords(answer.chain, tuple(map(read_property, answer.records)))
        except ValueError as error:
            raise DnsUnanswered(f"CAA of {to_text(ancestor)}: {error}") from error
    return None


def _zone_texts(properties: Iterable[Property]) -> list[str]:
    return sorted(each.zone_text for each in properties)


def _climb(name: dns.name.Name) -> Iterator[dns.name.Name]:
    while name != dns.name.root:
        yield name
        name = name.parent()
