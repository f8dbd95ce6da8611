"""The section `[verify]`: the edges that are asked which certificate they serve."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sslctl.config import values as read
from sslctl.rules.edges import EdgeAddress
from sslctl.text import clean

_EDGE = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:\[\]]+)):(?P<port>\d{1,5})", re.ASCII)
_HOST = re.compile(r"(?=.{1,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_HIGHEST_PORT = 65535
_MOST_EDGES = 64


@dataclass(frozen=True, slots=True)
class VerifySection:
    """The edges of the CDN, each as `host:port`; without any, only C4 is asked what it serves.

    Each connection may take `timeout_seconds`, and its handshake as long again. An edge that serves another certificate than C4 has is
    normal for `lag_seconds` after the upload. Ticks ask each day about so many pairs of a domain and an edge as `daily_sample`.
    """

    edges: tuple[EdgeAddress, ...] = ()
    timeout_seconds: float = 3
    lag_seconds: float = 900
    daily_sample: int = 5000


def _edge(value: object) -> EdgeAddress:
    """Read `host:port` or `[address]:port`. An address is written in its shortest form, a name in lower case."""
    text = str(value).strip().lower()
    parts = _EDGE.fullmatch(text)
    if parts is None or not 0 < int(parts["port"]) <= _HIGHEST_PORT:
        raise _refused(text)
    port = int(parts["port"])
    if parts["v6"] is not None:
        try:
            return EdgeAddress(str(ipaddress.IPv6Address(parts["v6"])), port)
        except ValueError:
            raise _refused(text) from None
    host = parts["host"]
    if not _HOST.fullmatch(host):
        raise _refused(text)
    # What ends in a number is an address, and never a name (RFC 1123, section 2.1).
    if host.rpartition(".")[2].isdigit():
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            raise _refused(text) from None
    return EdgeAddress(host, port)


def _refused(text: str) -> ValueError:
    return ValueError(
        f"must be edges with their ports, like edge1.example.net:443 or [2001:db8::1]:443, not “{clean(text, 60)}”"
    )


def _edges(value: object) -> tuple[EdgeAddress, ...]:
    edges = tuple(dict.fromkeys(read.many(_edge)(value)))
    if len(edges) > _MOST_EDGES:
        raise ValueError(f"must be at most {_MOST_EDGES} edges")
    return edges


READ: Mapping[str, Callable[[object], object]] = {
    "edges": _edges,
    "timeout_seconds": read.seconds,
    "lag_seconds": read.seconds_or_none,
    "daily_sample": read.integer(0, 1_000_000),
}
"""The reader of each key."""
