"""The values of the options of `sslctl sandbox`, and how its output names the program."""

from __future__ import annotations

import ipaddress
import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import click
import dns.exception
import dns.rdata

from sslctl.text import clean


def read_caa(records: Iterable[str]) -> tuple[str, ...]:
    """Return the CAA records. Raise `click.BadParameter` for one that is not in zone file form (RFC 8659, section 4.1.1)."""
    for record in records:
        try:
            dns.rdata.from_text("IN", "CAA", record)
        except (dns.exception.DNSException, ValueError) as error:
            raise click.BadParameter(
                f"{clean(record)!r} is not a CAA record, such as '0 issue \"ca.example\"'",
                param_hint="--caa",
            ) from error
    return tuple(records)


def read_ipv6(addresses: Iterable[str]) -> tuple[str, ...]:
    """Return the addresses in canonical form. Raise `click.BadParameter` for one that is not an IPv6 address."""
    found = []
    for address in addresses:
        try:
            found.append(str(ipaddress.IPv6Address(address)))
        except ValueError as error:
            raise click.BadParameter(
                f"{clean(address)!r} is not an IPv6 address", param_hint="--aaaa"
            ) from error
    return tuple(found)


def read_url(url: str | None) -> str:
    """Return the URL, or an empty string for None. Raise `click.BadParameter` if it is not one of http or https."""
    if url is None:
        return ""
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_usable = False
    if not is_usable or not url.isascii() or not url.isprintable() or " " in url:
        raise click.BadParameter(
            f"{clean(url)!r} is not a URL that begins with http:// or https://", param_hint="--redirect"
        )
    return url


def program() -> str:
    """Return the words that run this program in any shell and folder, quoted for the shell."""
    script = Path(sys.argv[0]).absolute()
    if script.name != "__main__.py" and os.access(script, os.X_OK) and script.is_file():
        return shlex.quote(str(script))
    return shlex.join([sys.executable, "-P", "-m", "sslctl"])
