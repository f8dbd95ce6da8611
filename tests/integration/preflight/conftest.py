"""A DNS server on loopback, and preflight against it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.dns_zone import DnsZone


@pytest.fixture
def zone() -> Iterator[DnsZone]:
    with DnsZone() as zone:
        yield zone
