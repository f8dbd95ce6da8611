"""Answers of queries over all domains that are given again for a moment, so that many people cost little more than one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

from sslctl.web.turns import Turns

_Answer = TypeVar("_Answer")

# With this factor all requests for one answer take a tenth of a processor together, however many there are.
_TIMES_AS_LONG = 10
_LONGEST_SECONDS = 10
_MOST = 64


@dataclass(frozen=True, slots=True)
class _Recent:
    """An answer, and until when it may be given."""

    answer: Any
    until: float


class RecentAnswers:
    """The recent answers of one server, by key. Safe to use from several threads.

    An answer is given again for ten times as long as it took to find, for at most 10 seconds: on a quiet machine a second, and longer
    while ticks need the processor. `monotonic` returns seconds. An answer is found within a turn of `turns`.
    """

    def __init__(self, turns: Turns, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._turns = turns
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._recent: dict[Hashable, _Recent] = {}
        self._changes = 0

    def get(self, key: Hashable, find: Callable[[], _Answer]) -> _Answer:
        """Return the recent answer for `key`, or else what `find` returns. Raise `TryLater` as `Turns.take` does."""
        recent = self._known(key)
        if recent is None:
            with self._turns.take():
                # Another request may have found it while this one waited.
                recent = self._known(key) or self._remember(key, find)
        answer: _Answer = recent.answer
        return answer

    def forget(self) -> None:
        """Forget all answers: a person of this page changed something, and must see it at once."""
        with self._lock:
            self._changes += 1
            self._recent.clear()

    def _known(self, key: Hashable) -> _Recent | None:
        with self._lock:
            recent = self._recent.get(key)
        return recent if recent is not None and self._monotonic() < recent.until else None

    def _remember(self, key: Hashable, find: Callable[[], Any]) -> _Recent:
        changes, began = self._changes, self._monotonic()
        answer = find()
        ended = self._monotonic()
        recent = _Recent(answer, ended + min(_TIMES_AS_LONG * (ended - began), _LONGEST_SECONDS))
        with self._lock:
            # What was read before a change may not show it.
            if changes == self._changes:
                self._recent.pop(key, None)
                self._recent[key] = recent
                while len(self._recent) > _MOST:
                    del self._recent[next(iter(self._recent))]
        return recent
