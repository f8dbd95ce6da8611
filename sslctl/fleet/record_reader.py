"""Read C4's records of many domains at a time, and give up while C4 is down."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sslctl.control_plane import ControlPlane, ControlPlaneError, Record, Unauthorized, UnknownDomain
from sslctl.rules.model import Domain
from sslctl.system.threads import map_in_threads

_THREADS = 32
# When so many requests in a row were not answered, C4 is down: the next tick reads again.
_GIVE_UP_AFTER = 2 * _THREADS

_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Answer:
    """C4's answer about a domain: its record, or None if C4 does not know the domain."""

    domain: Domain
    record: Record | None

    @property
    def new_customer(self) -> str:
        """The customer that C4 names, if that is another one than before; otherwise empty. A known one is never removed."""
        customer = "" if self.record is None else self.record.customer
        return "" if customer == self.domain.customer else customer


class RecordReader:
    """A reader of C4's records.

    `trouble` is why the last domains were not all read, empty if they were or if only some went unanswered; from then on
    nothing is read. `is_refused` is whether C4 refused the token.
    """

    def __init__(self, control_plane: ControlPlane) -> None:
        self._c4 = control_plane
        self._unanswered = 0
        self._last_error = ""
        self.trouble = ""
        self.is_refused = False

    def read(self, domains: Sequence[Domain]) -> Iterator[Answer]:
        """Yield C4's answer about each of `domains`, without those that it gave no answer about. End early if C4 is down."""
        is_answered = not domains
        for answer in in_threads(self._read_one, domains):
            if answer is not None:
                is_answered = True
                yield answer
        if not is_answered and not self.trouble:
            self.trouble = self._last_error

    def _read_one(self, domain: Domain) -> Answer | None:
        if self.trouble:
            return None
        try:
            answer = Answer(domain, self._c4.domain(domain.name))
        except UnknownDomain:
            answer = Answer(domain, None)
        except ControlPlaneError as error:
            self._unanswered += 1
            self._last_error = str(error)
            self.is_refused = self.is_refused or isinstance(error, Unauthorized)
            if self._unanswered >= _GIVE_UP_AFTER or self.is_refused:
                self.trouble = self._last_error
            return None
        self._unanswered = 0
        return answer


def in_threads(function: Callable[[_T], _R], items: Sequence[_T]) -> Iterator[_R]:
    """Yield the results of `function` for `items`, in order. If the caller ends early, what was not begun is dropped."""
    yield from map_in_threads(function, items, _THREADS, "look")
