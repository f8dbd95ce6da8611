"""The versions of certbot and acme that sslctl was tested with; it uses internals of certbot, which may change."""

from __future__ import annotations

import re
from importlib import metadata

LOWEST, NEWEST = (5, 0), (5, 9)
"""The lowest and the newest version that the tests ran with: major and minor. Other minor versions may be installed."""

_PACKAGES = ("certbot", "acme")
_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})")


def find_untested() -> str:
    """Return which installed packages were not tested with this sslctl, as a sentence; empty if all were."""
    found = [f"{name} {version}" for name in _PACKAGES if not _is_tested(version := metadata.version(name))]
    tested = " to ".join(".".join(map(str, version)) for version in (LOWEST, NEWEST))
    return (
        f"{' and '.join(found)}: not tested with this sslctl, which was tested with {tested}" if found else ""
    )


def describe() -> str:
    """Return the installed versions in words: `certbot 5.8.0, acme 5.9.0`."""
    return ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES)


def _is_tested(version: str) -> bool:
    parts = _VERSION.match(version)
    return parts is not None and LOWEST <= (int(parts[1]), int(parts[2])) <= NEWEST
