"""Commands that need packages which not every installation has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sslctl.system.extras import missing_package


@contextmanager
def needing(extra: str, what: str) -> Iterator[None]:
    """Raise `ConfigError` if an import in the block fails: `what` needs a package of the extra `extra`."""
    try:
        yield
    except ImportError as error:
        raise missing_package(extra, f"{what} needs the package", str(error.name)) from error
