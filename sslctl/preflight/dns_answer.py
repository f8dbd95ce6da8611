"""The result of one DNS lookup, and how a CNAME chain is followed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import dns.name
import dns.rdata

_MAX_LINKS = 16  # the limit of dnspython and of common recursive resolvers


@dataclass(frozen=True, slots=True)
class DnsAnswer:
    """The answer of DNS for one name and one type.

    `chain` begins with the name of the query and follows its CNAMEs (RFC 1034 section 3.6.2). `endless` means that they
    form a loop, or have more than 16 links. `records` are those of the last link; `exists` is false if the last link does
    not exist (NXDOMAIN, RFC 6604 section 3).
    """

    chain: tuple[dns.name.Name, ...]
    records: tuple[dns.rdata.Rdata, ...]
    exists: bool
    endless: bool

    @property
    def links(self) -> tuple[dns.name.Name, ...]:
        """The chain without the name itself; empty if the name has no CNAME."""
        return self.chain[1:]


def follow(
    name: dns.name.Name, targets: Mapping[dns.name.Name, dns.name.Name]
) -> tuple[tuple[dns.name.Name, ...], bool]:
    """Return the chain of `name` through the CNAMEs in `targets`, and whether it is endless; see `DnsAnswer`."""
    chain = [name]
    endless = False
    while chain[-1] in targets and not endless:
        chain.append(targets[chain[-1]])
        endless = chain[-1] in chain[:-1] or len(chain) > _MAX_LINKS
    return tuple(chain), endless
