"""A selection of domains in words: what was asked for, and how many match it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sslctl.cli.output.phrases import coloured
from sslctl.rules.reasons import Status
from sslctl.store.interface.domains import Domains, Query
from sslctl.text import clean


def describe_query(query: Query) -> str:
    """Return what `query` restricts, in the words of the command line; empty if it restricts nothing."""
    options: list[tuple[str, Any]] = [("--status", each) for each in query.statuses]
    options += [("--source", query.source)] if query.source else []
    if query.expiring_within is not None:
        options.append(("--expiring-within", f"{query.expiring_within.total_seconds() / 86400:g}d"))
    options += [("--owner", each) for each in query.owners]
    options += [("--reason", each) for each in query.reasons]
    options += [("--customer", f"'{clean(each, 60)}'" if each else "''") for each in query.customers]
    options += [("--warning", each) for each in query.warnings]
    words = [f"{option} {value}" for option, value in options]
    return " ".join(([f"'{clean(query.pattern.text)}'"] if query.pattern else []) + words)


def describe_no_match(store: Domains, query: Query) -> str:
    """Return that no domain matches `query`, and for a customer without domains which customers have a similar name."""
    asked = describe_query(query)
    message = f"No domains match: {asked}" if asked else "No domains match."
    if not query.customers:
        return message
    from difflib import get_close_matches  # noqa: PLC0415 - needed here only

    known = {each.lower(): each for each in store.customers().values()}
    unknown = [each for each in query.customers if each and each not in known.values()]
    near = [known[match] for each in unknown for match in get_close_matches(each.lower(), known)]
    return f"{message}. Customers with a similar name: {clean(', '.join(near))}" if near else message


def describe_counts(counts: Mapping[Status, int], managed: int) -> str:
    """Return how many of the `managed` domains match: `37 of 3,000 domains: 12 Failure, 25 Pending`."""
    matching = sum(counts.values())
    number = f"{matching:,}" if matching == managed else f"{matching:,} of {managed:,}"
    parts = ", ".join(f"{counts[status]:,} {coloured(status)}" for status in Status if counts.get(status))
    domains = "domain" if managed == 1 else "domains"
    return f"{number} {domains}: {parts}" if parts else f"{number} {domains}"
