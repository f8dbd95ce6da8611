"""What DNS says of one name and one type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import dns.name
import dns.rdata

_MOST_LINKS = 16  # as dnspython and the usual recursive resolvers have it


@dataclass(frozen=True, slots=True)
class DnsAnswer:
    """What DNS says of one name and one type.

    `chain` begins with the name that was asked for and follows its CNAMEs (RFC 1034 section 3.6.2). `endless` says
    that they lead in a circle, or beyond the 16 links kept here. `records` are those of the last link, and `exists`
    is false where the last link does not exist (NXDOMAIN, RFC 6604 section 3).
    """

    chain: tuple[dns.name.Name, ...]
    records: tuple[dns.rdata.Rdata, ...]
    exists: bool
    endless: bool

    @property
    def links(self) -> tuple[dns.name.Name, ...]:
        """The chain after the name itself; empty where the name has no CNAME."""
        return self.chain[1:]


def follow(
    name: dns.name.Name, targets: Mapping[dns.name.Name, dns.name.Name]
) -> tuple[tuple[dns.name.Name, ...], bool]:
    """Give the chain of `name` by the CNAMEs in `targets`, and whether it is endless; see `DnsAnswer`."""
    chain = [name]
    endless = False
    while chain[-1] in targets and not endless:
        chain.append(targets[chain[-1]])
        endless = chain[-1] in chain[:-1] or len(chain) > _MOST_LINKS
    return tuple(chain), endless
