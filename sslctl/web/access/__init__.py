"""Who may do what on the page: persons, their roles, and the Protocol by which a site is guarded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import ParamSpec, Protocol, TypeVar

from flask import Flask, abort, g

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Role(StrEnum):
    """What a person may do. Each role is given by itself: none includes another."""

    VIEWER = "viewer"
    """See everything but private keys."""
    OPERATOR = "operator"
    """Add, recheck, delete, note, snooze and assign domains."""
    KEYS = "keys"
    """Download private keys."""


@dataclass(frozen=True, slots=True)
class Person:
    """The person that sent a request. `name` is written into the history; it is clean (`sslctl.text.clean`)."""

    name: str
    roles: frozenset[Role]


class Gate(Protocol):
    """The guard of a site."""

    def install(self, site: Flask) -> None:
        """Let only guarded requests reach the views of `site`, and set headers of responses.

        For a view, `flask.g.person` and `flask.g.limiter` are set.
        A template writes `{{ csrf_token() }}` into the hidden field `csrf_token` of each form that is sent by POST.
        """


def current_person() -> Person:
    """Return the person that sent the current request."""
    person: Person = g.person
    return person


def require(role: Role) -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
    """Return a decorator of a view that ends a request of a person without `role` with 403."""

    def decorate(view: Callable[_P, _T]) -> Callable[_P, _T]:
        @wraps(view)
        def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            if role not in current_person().roles:
                abort(403)
            return view(*args, **kwargs)

        return guarded

    return decorate
