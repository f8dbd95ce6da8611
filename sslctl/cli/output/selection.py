"""A selection of domains in words: what was asked for, and how many match it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Counts:
    """How many domains match a query, by status, of the `managed` ones; `listed` are those that its limit left."""

    by_status: Mapping[Status, int]
    managed: int
    listed: int
    is_of_deleted: bool = False

    @property
    def matching(self) -> int:
        """How many domains match."""
        return sum(self.by_status.values())

    def describe(self) -> str:
        """Return the counts in words: `37 of 3,000 domains: 12 Failure, 25 Pending`."""
        if self.is_of_deleted:
            text = f"{self.matching:,} deleted {_domains(self.matching)}"
        else:
            number = f"{self.matching:,}"
            of_all = number if self.matching == self.managed else f"{number} of {self.managed:,}"
            parts = [
                f"{self.by_status[each]:,} {coloured(each)}" for each in Status if self.by_status.get(each)
            ]
            text = f"{of_all} {_domains(self.managed)}: {', '.join(parts) or 'none'}"
        return text if self.listed >= self.matching else f"{text}; the first {self.listed:,} are listed"

    def to_json(self) -> dict[str, Any]:
        """Return the counts as in the JSON; deleted domains have no status."""
        by_status = {} if self.is_of_deleted else {each: self.by_status.get(each, 0) for each in Status}
        return {
            "matching": self.matching,
            "listed": self.listed,
            "managed": self.managed,
            "by_status": by_status,
        }


def _domains(number: int) -> str:
    return "domain" if number == 1 else "domains"
