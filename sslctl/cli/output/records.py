"""The table of DNS records to set."""

from __future__ import annotations

from collections.abc import Sequence

from sslctl.cli.output.table import table
from sslctl.rules.dns_record import DnsRecord

_HEADERS = ("TYPE", "NAME", "CURRENT", "WANTED")


def records_text(records: Sequence[DnsRecord], indent: str) -> str:
    """Return a heading and the table of `records`, of which there is at least one."""
    lines = [
        (each.type, each.name, "\n".join(each.current) or "none", "\n".join(each.needed)) for each in records
    ]
    heading = "Record to set" if len(records) == 1 else "Records to set"
    # Not wrapped, so that each record can be copied.
    return f"{heading}\n{table(lines, _HEADERS, indent=indent, wrap=False)}"
