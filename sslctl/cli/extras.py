"""Commands that need packages which not every installation has."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sslctl.errors import ConfigError


@contextmanager
def needing(extra: str, what: str) -> Iterator[None]:
    """Raise `ConfigError` if an import in the block fails: `what` needs a package of the extra `extra`."""
    try:
        yield
    except ImportError as error:
        raise ConfigError(
            f"{what} needs the package {error.name}, which is not installed",
            # Another pip may belong to another Python.
            hint=f"run `{shlex.join([sys.executable, '-m', 'pip', 'install', f'.[{extra}]'])}` in sslctl's source folder",
        ) from error
