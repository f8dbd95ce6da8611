"""Certificates that C4 has, in words."""

from __future__ import annotations

from sslctl.rules.model import Installed
from sslctl.rules.singapore import format_sgt


def describe_installed(installed: Installed) -> str:
    """Return the source, the fingerprint and the expiry of `installed`, in words."""
    return (
        f"the {installed.source} certificate {installed.fingerprint[:16]},"
        f" valid until {format_sgt(installed.not_after)}"
    )
