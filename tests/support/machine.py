"""The machine that measures: its hardware and versions, without names of hosts, users or places."""

from __future__ import annotations

import os
import platform
import sqlite3
import ssl
import subprocess
from contextlib import suppress
from importlib.metadata import distribution, version
from pathlib import Path

import pytest


def describe() -> dict[str, str]:
    """Return the facts of this machine, as text."""
    return {
        "CPU": f"{_field('/proc/cpuinfo', 'model name')}, {len(os.sched_getaffinity(0))} cores",
        "RAM": f"{int(_field('/proc/meminfo', 'MemTotal').split()[0]) / (1 << 20):.0f} GiB",
        "system": f"{_field('/etc/os-release', 'PRETTY_NAME', '=')}, Linux {platform.release().partition('-')[0]}",
        "Python": f"{platform.python_version()}, SQLite {sqlite3.sqlite_version}, {ssl.OPENSSL_VERSION}",
        "certbot": version("certbot"),
        **{
            package: found
            for package in ("pebble", "caddy", "lego", "dehydrated")
            if (found := _debian(package))
        },
    }


def load() -> float:
    """Return the load average of the last minute: what else the machine was busy with."""
    return os.getloadavg()[0]


def _field(path: str, name: str, between: str = ":") -> str:
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(between)
        if key.strip() == name:
            return " ".join(value.strip(' "').split())
    return "unknown"


def _debian(package: str) -> str:
    """Return the version of an installed Debian package, or an empty string."""
    with suppress(OSError):
        asked = subprocess.run(
            ["dpkg-query", "--show", "--showformat=${Version}", package],
            capture_output=True,
            text=True,
            check=False,
        )
        return asked.stdout if asked.returncode == 0 else ""
    return ""


def install_other_certbot(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the metadata of the installed packages name another version of certbot, 99.0.1."""
    information = folder / "packages" / "certbot-99.0.1.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: certbot\nVersion: 99.0.1\n")
    # certbot finds its plugins by them.
    entry_points = distribution("certbot").read_text("entry_points.txt") or ""
    (information / "entry_points.txt").write_text(entry_points)
    monkeypatch.syspath_prepend(information.parent)
