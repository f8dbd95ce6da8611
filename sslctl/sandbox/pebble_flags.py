"""The flags of Pebble's DNS server, which differ between the releases of Pebble.

Pebble 2.5 added a server for DNS over HTTPS, and 2.10 renamed `-dns01` to `-dnsserver`. The usage text of the program decides, not
its version: distributions build it without a version number.
"""

from __future__ import annotations

import re
import subprocess

from sslctl.errors import StateError

_USAGE_SECONDS = 15
# How Go's package `flag` prints a flag: two spaces, a hyphen, the name, and then its type or the end of the line.
_FLAG = re.compile(r"^ {2}-([A-Za-z0-9][\w-]*)(?=\s|$)", re.MULTILINE)
_DNS = ("dnsserver", "dns01")
# Each listens on all addresses by default, so each must be disabled.
_OTHER_SERVERS = ("doh", "http01", "https01", "tlsalpn01")


def dns_server_arguments(usage: str, *, dns_address: str, management_address: str) -> list[str]:
    """Return the arguments that make `pebble-challtestsrv` serve only DNS at `dns_address`, and its management interface.

    `usage` is the usage text of the program. Raise `StateError` if it names no flag for the DNS address.
    """
    known = set(_FLAG.findall(usage))
    dns = next((flag for flag in _DNS if flag in known), None)
    if dns is None:
        raise StateError(
            f"this pebble-challtestsrv has none of the flags {' and '.join(f'-{flag}' for flag in _DNS)}",
            hint="install Pebble 2.4 or a later release",
        )
    arguments = [f"-{dns}", dns_address, "-management", management_address]
    arguments += ["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""]
    for server in _OTHER_SERVERS:
        if server in known:
            arguments += [f"-{server}", ""]
    return arguments


def read_usage(program: str) -> str:
    """Return the usage text of a Go program. Raise `StateError` if it does not start or does not end."""
    try:
        result = subprocess.run(
            [program, "-h"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_USAGE_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StateError(f"{program} -h gave no usage text: {error}") from error
    return result.stderr + result.stdout
