"""Read C4's records of many domains at a time, and give up while C4 is down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TypeVar

from sslctl.control_plane import ControlPlane, ControlPlaneError, Record, Unauthorized, UnknownDomain
from sslctl.rules.model import Domain
from sslctl.rules.reasons import REASONS, Code, Owner
from sslctl.system.threads import map_in_threads

_THREADS = 32
# So many domains are in memory at a time, with what C4 answered about them.
_BLOCK = 2000
# When so many requests in a row were not answered, C4 is down: the next tick reads again.
_GIVE_UP_AFTER = 2 * _THREADS
# So many unanswered domains may have trouble of their own, although nobody else was asked about.
_FEW = 5

_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Answer:
    """C4's answer about a domain: its record, or None if C4 does not know the domain."""

    domain: Domain
    record: Record | None


class RecordReader:
    """A reader of C4's records.

    `trouble` is why the last domains were not all read, empty if they were or if only some went unanswered; from then on
    nothing is read. `is_refused` is whether C4 refused the token for all of them: a refusal for a single domain says nothing
    about the others.
    """

    def __init__(self, control_plane: ControlPlane) -> None:
        self._c4 = control_plane
        self._unanswered = 0
        self._last_error: ControlPlaneError | None = None
        self.trouble = ""

    @property
    def is_refused(self) -> bool:
        """Whether reading ended because C4 refused the token."""
        return bool(self.trouble) and isinstance(self._last_error, Unauthorized)

    def read(self, domains: Iterable[Domain]) -> Iterator[Answer]:
        """Yield C4's answer about each of `domains`, without those that it gave no answer about. End early if C4 is down."""
        left, number, is_answered = iter(domains), 0, False
        while not self.trouble and (block := list(islice(left, _BLOCK))):
            number += len(block)
            for answer in in_threads(self._read_one, block):
                if answer is not None:
                    is_answered = True
                    yield answer
        if number and not is_answered and not self.trouble and self._is_down(number):
            self.trouble = str(self._last_error)

    def _is_down(self, unanswered: int) -> bool:
        """Return whether C4 answers nothing at all, after it gave no answer about so many domains, and about no other."""
        if unanswered > _FEW:
            return True
        try:
            self._c4.health()
        except ControlPlaneError:
            return True
        return False

    def _read_one(self, domain: Domain) -> Answer | None:
        if self.trouble:
            return None
        try:
            answer = Answer(domain, self._c4.domain(domain.name))
        except UnknownDomain:
            answer = Answer(domain, None)
        except ControlPlaneError as error:
            self._unanswered += 1
            self._last_error = error
            if self._unanswered >= _GIVE_UP_AFTER:
                self.trouble = str(error)
            return None
        self._unanswered = 0
        return answer


def waits_for_c4(domain: Domain, now: datetime) -> bool:
    """Return whether C4 did not answer a pass over `domain`, and is not to be asked about it again yet."""
    known = domain.unconfirmed or domain.finding
    if known is None or known.retry_at is None or known.retry_at <= now:
        return False
    return REASONS[known.code].owner is Owner.C4 or known.code in (Code.C4_ACTIVATING, Code.C4_TOKEN_REFUSED)


def in_threads(function: Callable[[_T], _R], items: Sequence[_T]) -> Iterator[_R]:
    """Yield the results of `function` for `items`, in order. If the caller ends early, what was not begun is dropped."""
    yield from map_in_threads(function, items, _THREADS, "look")
