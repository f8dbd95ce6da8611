"""What tests of the issuer share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sslctl.app import utc_now
from sslctl.sandbox.cdn import SandboxCdn


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxCdn]:
    """A CDN with a CA, for the tests of one module."""
    with SandboxCdn(tmp_path_factory.mktemp("sandbox"), clock=utc_now) as running:
        yield running
