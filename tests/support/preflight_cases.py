"""Preflight of one domain against DNS servers on loopback."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network

import pytest

from sslctl.config.settings import CdnSection, DnsSection
from sslctl.preflight import PreflightError, PreflightWarning, Prober
from sslctl.preflight.checks import Preflight
from tests.support.dns_zone import DnsZone

NAME = "shop.example.com"
TARGET = "shop.cdn.example.net"
CDN = CdnSection(
    cname_suffixes=("cdn.example.net", "edge.example.org"),
    ip_ranges=(ip_network("203.0.113.0/24"), ip_network("2001:db8:c::/48")),
    probe_ports=False,
)


def preflight(
    *zones: DnsZone,
    cdn: CdnSection = CDN,
    identities: tuple[str, ...] = ("letsencrypt.org",),
    seconds: float = 4,
    find_account_url: Callable[[], str] = str,
) -> Prober:
    resolvers = tuple(zone.address for zone in zones)
    settings = DnsSection(resolvers=resolvers, timeout_seconds=seconds)
    return Preflight(cdn, settings, identities, find_account_url=find_account_url)


def check(
    prober: Prober, *names: str, target: str = TARGET, http_expected: bool = True
) -> PreflightWarning | None:
    return prober.check(names or (NAME,), target, http_expected=http_expected)


def refuse(prober: Prober, *names: str, target: str = TARGET, http_expected: bool = True) -> PreflightError:
    with pytest.raises(PreflightError) as caught:
        check(prober, *names, target=target, http_expected=http_expected)
    return caught.value
