"""What the address of the list of domains selects: the same `Query` that `sslctl list` makes of its options."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar

from werkzeug.datastructures import MultiDict

from sslctl.errors import BadInput, Problem
from sslctl.rules import name_pattern
from sslctl.rules.durations import parse_duration
from sslctl.rules.model import Source
from sslctl.rules.reasons import Code, Owner, Status
from sslctl.store.interface.domains import Query, Sort
from sslctl.text import clean

PAGE_SIZE = 50
FILTERS = (
    "q",
    "status",
    "owner",
    "reason",
    "warning",
    "customer",
    "no_customer",
    "assignee",
    "no_assignee",
    "source",
    "within",
)
"""The parameters that restrict the list."""

_MOST_DIGITS = 7
_Choice = TypeVar("_Choice", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Selection:
    """A page of the domains that match `query`. `number` counts from 1; the limit and offset of `query` are those of the page."""

    query: Query
    number: int


def read_selection(arguments: MultiDict[str, str]) -> Selection:
    """Return what the parameters of an address select; empty ones do not count. Raise `BadInput` if one cannot be used."""
    number = read_number(arguments.get("page", ""))
    pattern, within = arguments.get("q", "").strip(), arguments.get("within", "").strip()
    sources, sorts = _choices(arguments, "source", Source), _choices(arguments, "sort", Sort)
    query = Query(
        statuses=_choices(arguments, "status", Status),
        source=sources[0] if sources else None,
        expiring_within=parse_duration(within) if within else None,
        sort=sorts[0] if sorts else Sort.URGENCY,
        pattern=name_pattern.parse(pattern) if pattern else None,
        owners=_choices(arguments, "owner", Owner),
        reasons=_choices(arguments, "reason", Code),
        warnings=_choices(arguments, "warning", Code),
        customers=_names(arguments, "customer"),
        assignees=_names(arguments, "assignee"),
    )
    return Selection(replace(query, limit=PAGE_SIZE, offset=(number - 1) * PAGE_SIZE), number)


def _names(arguments: MultiDict[str, str], key: str) -> tuple[str, ...]:
    """Return the values of the parameter `key`, and an empty one if the parameter `no_KEY` asks for domains without one."""
    names = tuple(each for each in arguments.getlist(key) if each)
    return (*names, "") if arguments.get(f"no_{key}") else names


def _choices(arguments: MultiDict[str, str], key: str, kind: type[_Choice]) -> tuple[_Choice, ...]:
    """Return the values of the parameter `key`, in the order of `kind`, whatever their case."""
    known = {each.value.lower(): each for each in kind}
    chosen = {_choice(text, key, known) for text in arguments.getlist(key) if text}
    return tuple(each for each in kind if each in chosen)


def _choice(text: str, key: str, known: dict[str, _Choice]) -> _Choice:
    if text.lower() not in known:
        choices = ", ".join(known.values())
        raise BadInput(
            f"{clean(text, 60)!r} is no {key}",
            hint=f"choose one of: {choices}",
            problem=Problem("address.choice", {"text": clean(text, 60), "choices": choices}),
        )
    return known[text.lower()]


def read_number(text: str) -> int:
    """Return the number of a page in `text`, 1 if it is empty. Raise `BadInput` if it is none."""
    if not text:
        return 1
    if not is_number(text) or int(text) == 0:
        shown = clean(text, 20)
        raise BadInput(f"{shown!r} is no number of a page", problem=Problem("address.page", {"text": shown}))
    return int(text)


def is_number(text: str) -> bool:
    """Return whether `text` is a number of at most 7 ASCII digits."""
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
