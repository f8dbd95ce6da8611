"""Whether a port is open: a TCP connection to addresses that were resolved before. Nothing is sent."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address

_CONNECT_SECONDS = 3

_GLOBAL_UNICAST = IPv6Network("2000::/3")  # RFC 4291 section 2.4; IPv4-mapped and NAT64 forms lie outside
# Not public, though `ipaddress` of some Python 3.11 says so, and IPv6 forms that embed an IPv4 address.
_NEVER_PUBLIC: tuple[IPv4Network | IPv6Network, ...] = (
    IPv4Network("168.63.129.16/32"),  # the metadata service of one cloud
    IPv4Network("192.0.0.0/24"),  # RFC 6890, the metadata service of another
    IPv6Network("2001::/23"),  # RFC 2928, with Teredo (RFC 4380)
    IPv6Network("2001:db8::/32"),  # RFC 3849
    IPv6Network("2002::/16"),  # 6to4, RFC 3056
    IPv6Network("3fff::/20"),  # RFC 9637
)


class Reach(Enum):
    """How an address answers a connection to a port; `PRIVATE` is not connected to."""

    OPEN = "open"
    REFUSED = "connection refused"
    SILENT = "no answer"
    PRIVATE = "not a public address, so not connected to"


def find_refusal(addresses: Iterable[Address], port: int, *, private: bool) -> str:
    """Return a text about the refusal if every address refuses a connection to `port`, else an empty string.

    One address that accepts is enough. A timeout or an unreachable network says nothing about the port, so the result is
    empty too. An address that is not public (such as loopback, RFC 1918, link-local with its metadata services, multicast,
    and forms that embed an IPv4 address) is connected to only with `private`. Each connection waits at most 3 seconds.
    """
    refused = []
    for address in addresses:
        if try_port(address, port, private=private) is not Reach.REFUSED:
            return ""
        refused.append(at(address, port))
    return f"connection refused at {', '.join(refused)}" if refused else ""


def try_port(address: Address, port: int, *, private: bool) -> Reach:
    """Return how `address` answers a connection to `port`; see `find_refusal`."""
    if not (private or is_public(address)):
        return Reach.PRIVATE
    try:
        socket.create_connection((str(address), port), timeout=_CONNECT_SECONDS).close()
    except ConnectionRefusedError:
        return Reach.REFUSED
    except OSError:
        return Reach.SILENT
    return Reach.OPEN


def at(address: Address, port: int) -> str:
    """Return an address with a port as it is written in a URL."""
    return f"[{address}]:{port}" if isinstance(address, IPv6Address) else f"{address}:{port}"


def is_public(address: Address) -> bool:
    """Return whether `address` is public, so that it means the same host to the CA on the Internet."""
    if any(address in network for network in _NEVER_PUBLIC):
        return False
    if isinstance(address, IPv6Address):
        return address in _GLOBAL_UNICAST
    return address.is_global and not address.is_multicast
