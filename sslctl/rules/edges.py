"""What the edges of the CDN were seen to serve, where that is not what C4 has."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

_MOST_SHOWN = 5


def join_edges(texts: Sequence[str]) -> str:
    """Return `texts`, one about each edge, as one: the first five, and how many more there are; empty if there are none."""
    more = len(texts) - _MOST_SHOWN
    return "; ".join([*texts[:_MOST_SHOWN], *([f"and {more} more edges"] if more > 0 else [])])


class EdgeAddress(NamedTuple):
    """An edge: a name or an IP address, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return it as in the configuration: `host:port`, or `[address]:port` for IPv6."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Drift(NamedTuple):
    """An edge serves another certificate for a domain than C4 has.

    `fingerprint` is empty if it serves none. `version` is that of the certificate if it is one of ours, otherwise None. From `late_at`
    on the edge is late: before, an upload may not have reached it.
    """

    edge: str
    fingerprint: str
    version: int | None
    late_at: datetime


class LateEdge(NamedTuple):
    """An edge that is late for so many `domains`, the first since `since`.

    For `foreign` of them it serves a certificate that sslctl did not install, for `bare` none. `examples` are the first names.
    """

    edge: str
    domains: int
    foreign: int
    bare: int
    since: datetime
    examples: tuple[str, ...]


class SilentEdge(NamedTuple):
    """An edge that has not answered since `since`, and `why` (cleaned)."""

    edge: str
    since: datetime
    why: str
