"""What the edges of the CDN were seen to serve, where that is not what C4 has."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple


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
