"""The names of a batch that are left, for the threads that run its passes, and the part of them that this process takes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Container, Iterator, Sequence
from queue import SimpleQueue
from typing import Protocol

from sslctl.issuance.outcome import Outcome

# Names are claimed in blocks. Few that wait for the CA, so that other processes find some until the end; many of those that
# end within moments, because each claim waits for those of others.
_ORDER_BLOCK = 8
_BLOCK = 64


class Sharing(Protocol):
    """How the processes that run passes over the same names share them: each takes some at a time, and leaves out the others."""

    @property
    def ordering(self) -> Container[str]:
        """The names that probably wait for the CA. A process takes few more of them than it can order at once."""

    def take(self, names: Sequence[str]) -> Sequence[str]:
        """Claim `names` for this process; return those that it got, and that still need a pass."""

    def give_back(self, names: Sequence[str]) -> None:
        """Release `names`, which were taken and have had no pass."""


class Alone:
    """All names are for this process."""

    ordering = frozenset[str]()

    def take(self, names: Sequence[str]) -> Sequence[str]:
        """See `Sharing`."""
        return names

    def give_back(self, names: Sequence[str]) -> None:
        """See `Sharing`."""


class _Line:
    """Names in order, of which `take` makes blocks of `size` ours."""

    def __init__(
        self, names: Sequence[str], size: int, take: Callable[[Sequence[str]], Sequence[str]]
    ) -> None:
        self.ours = deque[str]()
        self.left_out = 0
        self._names = deque(names)
        self._size = size
        self._take = take

    def __bool__(self) -> bool:
        """Return whether there may be another name."""
        return bool(self.ours or self._names)

    def pop(self) -> str | None:
        """Return the next name that is ours; None after the last one."""
        while not self.ours and self._names:
            block = [self._names.popleft() for _ in range(min(self._size, len(self._names)))]
            self.ours.extend(self._take(block))
            self.left_out += len(block) - len(self.ours)
        return self.ours.popleft() if self.ours else None


class Work:
    """The names that are left, and the outcomes so far, for the `workers` of one batch: its threads, or its caller.

    Of names that order by `sharing`, at most `most_orders` are taken at once.
    """

    def __init__(
        self,
        names: Sequence[str],
        workers: int,
        is_stopped: Callable[[], bool],
        sharing: Sharing,
        most_orders: int,
    ) -> None:
        self.outcomes = SimpleQueue[Outcome | None]()
        if not workers:
            self.outcomes.put(None)
        self.workers = workers
        self.error: BaseException | None = None
        self.is_notified = False
        ordering = sharing.ordering
        self._orders = _Line([name for name in names if name in ordering], _ORDER_BLOCK, sharing.take)
        self._others = _Line([name for name in names if name not in ordering], _BLOCK, sharing.take)
        self._is_order = ordering.__contains__
        self._ordering = 0
        self._most_orders = most_orders
        self._is_stopped = is_stopped
        self._changed = threading.Condition()

    @property
    def left_out(self) -> int:
        """How many names were left to other processes."""
        return self._orders.left_out + self._others.left_out

    @property
    def not_begun(self) -> list[str]:
        """The names that were taken for this process, and that no worker has taken."""
        return [*self._orders.ours, *self._others.ours]

    def take(self) -> str | None:
        """Return the next name. Return None, and count one worker less, if none is left or the batch was stopped.

        Wait while only names are left that order, and enough of them were taken. `end` is to be called after each name.
        """
        with self._changed:
            while not self._is_stopped():
                if self._ordering < self._most_orders and (name := self._orders.pop()) is not None:
                    self._ordering += 1
                    return name
                if (name := self._others.pop()) is not None:
                    return name
                if not self._orders:
                    break
                self._changed.wait()
            self._leave(1)
            # The others that wait find nothing either.
            self._changed.notify_all()
            return None

    def end(self, name: str) -> None:
        """Count `name`, which a worker has taken, as ended: another one may be taken."""
        if self._is_order(name):
            with self._changed:
                self._ordering -= 1
                self._changed.notify()

    def give_back(self, name: str) -> int:
        """Let another worker take `name` later, and count one worker less. Return how many are left; 0, and keep it, for the last."""
        with self._changed:
            (self._orders if self._is_order(name) else self._others).ours.append(name)
            if self.workers == 1:
                return 0
            self._leave(1)
            return self.workers

    def leave(self, number: int = 1) -> None:
        """Count `number` workers less."""
        with self._changed:
            self._leave(number)

    def _leave(self, number: int) -> None:
        self.workers -= number
        if not self.workers:
            self.outcomes.put(None)

    def begin_again(self) -> bool:
        """Return whether names are left although the batch goes on; then count one worker again."""
        with self._changed:
            if self._is_stopped() or not (self._orders or self._others):
                return False
            self.workers = 1
            return True

    def ended(self) -> Iterator[Outcome]:
        """Yield the outcomes until all workers have left."""
        while (outcome := self.outcomes.get()) is not None:
            yield outcome
