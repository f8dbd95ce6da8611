"""A DNS server on loopback, and servers for the fetch of a token."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.dns_zone import DnsZone
from tests.support.token_servers import TokenServers


@pytest.fixture
def zone() -> Iterator[DnsZone]:
    with DnsZone() as zone:
        yield zone


@pytest.fixture
def world(zone: DnsZone) -> Iterator[TokenServers]:
    with ExitStack() as stack:
        yield TokenServers(stack, zone)
