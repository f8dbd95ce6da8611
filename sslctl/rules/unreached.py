"""Whether visitors reach the CDN, so whether they see the certificate that it serves. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import Enum, auto

from sslctl.rules.model import Domain, DomainSummary
from sslctl.rules.reasons import Code
from sslctl.rules.versions import is_expired

# The addresses of the AAAA records are only for visitors with IPv6.
_SOME = frozenset((Code.AAAA_ELSEWHERE,))
_ALL = frozenset((Code.CNAME_MISSING, Code.CNAME_ELSEWHERE, Code.NXDOMAIN, Code.DEPARTED))


class Unreached(Enum):
    """How many of the visitors do not reach the CDN."""

    SOME = auto()
    ALL = auto()


def find_unreached(domain: Domain | DomainSummary, codes: Iterable[Code], now: datetime) -> Unreached | None:
    """Return how many visitors of `domain` miss the valid certificate that the CDN serves, because of `codes`; None for nobody.

    A problem of a domain with several names may concern only one of them, so only some of its visitors.
    """
    current, known = domain.in_service, set(codes)
    if current is None or is_expired(current, now) or not known & (_ALL | _SOME):
        return None
    return Unreached.ALL if known & _ALL and not domain.sans else Unreached.SOME
