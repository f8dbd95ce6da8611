"""A selection of domains in words: what was asked for, and how many match it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sslctl.cli.output.phrases import coloured, domain_or_domains
from sslctl.rules.durations import format_duration_option
from sslctl.rules.reasons import Status
from sslctl.store.interface.domains import Domains, Query
from sslctl.text import clean

_FREE_TEXT = ("--customer", "--assignee")


def describe_query(query: Query) -> str:
    """Return what `query` restricts, in the words of the command line; empty if it restricts nothing."""
    words = [
        f"{option} {_quoted(value)}" if option in _FREE_TEXT else f"{option} {value}".rstrip()
        for option, value in _options(query)
    ]
    return " ".join(([_quoted(query.pattern.text)] if query.pattern else []) + words)


def _quoted(value: str) -> str:
    """Return `value`, cleaned, in the quotes of a shell, also if it needs none."""
    return "'{}'".format(clean(value, 60).replace("'", "'\\''"))


def filter_words(query: Query) -> list[str]:
    """Return the options of `query`, as words of a command line; its pattern is left out."""
    return [word for option in _options(query) for word in option if word]


def _options(query: Query) -> list[tuple[str, str]]:
    """Return the options of `query` with their values; the value of a flag is empty."""
    options = [("--status", str(each)) for each in query.statuses]
    options += [("--source", str(query.source))] if query.source else []
    if query.expiring_within is not None:
        options.append(("--expiring-within", format_duration_option(query.expiring_within)))
    options += [("--owner", str(each)) for each in query.owners]
    options += [("--reason", str(each)) for each in query.reasons]
    options += [("--customer", each) if each else ("--no-customer", "") for each in query.customers]
    options += [("--assignee", each) if each else ("--no-assignee", "") for each in query.assignees]
    options += [("--warning", str(each)) for each in query.warnings]
    return options


def describe_no_match(store: Domains, query: Query) -> str:
    """Return that no domain matches `query`, and for customers and assignees without domains which ones have a similar name."""
    asked = describe_query(query)
    return f"No domains match: {asked}{describe_similar(store, query)}" if asked else "No domains match."


def describe_similar(store: Domains, query: Query) -> str:
    """Return which customers and assignees have a name that is similar to one in `query` without domains; empty if none has."""
    text = _similar("Customers", query.customers, store.customers().values()) if query.customers else ""
    return text + (_similar("Assignees", query.assignees, store.assignees()) if query.assignees else "")


def _similar(what: str, wanted: Iterable[str], existing: Iterable[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - needed here only

    known = {each.lower(): each for each in existing}
    unknown = [each for each in wanted if each and each not in known.values()]
    near = [known[match] for each in unknown for match in get_close_matches(each.lower(), known)]
    return f". {what} with a similar name: {clean(', '.join(near))}" if near else ""


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
            text = f"{self.matching:,} deleted {domain_or_domains(self.matching)}"
        else:
            number = f"{self.matching:,}"
            of_all = number if self.matching == self.managed else f"{number} of {self.managed:,}"
            parts = [
                f"{self.by_status[each]:,} {coloured(each)}" for each in Status if self.by_status.get(each)
            ]
            text = f"{of_all} {domain_or_domains(self.managed)}: {', '.join(parts) or 'none'}"
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
