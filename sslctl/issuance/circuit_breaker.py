"""What the CA's refusals mean for whoever asks next: pauses that it asked for, and a circuit breaker where it is down."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from sslctl.issuer import IssueError, OrderPending
from sslctl.rules.limits import LimitKind, set_key
from sslctl.rules.model import Order
from sslctl.rules.reasons import Code
from sslctl.rules.schedule import RETRY_LATEST
from sslctl.store.interface.budget import Budget

MOST_IN_A_ROW = 5
# These do not show that the CA is there: a 503 may be a gateway's.
_UNHEARD = (Code.CA_UNAVAILABLE, Code.ISSUER_FAILED, Code.CA_VALIDATING)


class CircuitBreaker:
    """Keeps all passes from asking in vain what one of them was refused. Safe to use from several threads.

    A pause that the CA asks for is kept as long as it asks, a week at most. Where the CA cannot be asked
    `MOST_IN_A_ROW` times in a row, whoever asked, the breaker opens for a minute; as long as the first answer after
    that fails too, it opens again for twice as long, up to an hour. It is closed by the first answer.
    """

    def __init__(self, store: Budget, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._in_a_row = 0

    @contextmanager
    def asking(self, order: Order) -> Iterator[None]:
        """Learn from how the block ends, in which the CA is asked about `order`."""
        try:
            yield
        except OrderPending:
            self._heard()
            raise
        except IssueError as error:
            self._learn(order, error)
            raise
        self._heard()

    def _learn(self, order: Order, error: IssueError) -> None:
        scope = error.pause
        if scope is not None and error.retry_at is not None:
            if scope.kind is LimitKind.DUPLICATES:
                scope = replace(scope, key=set_key(order.names))
            until = min(error.retry_at, self._clock() + RETRY_LATEST)
            self._store.pause(scope, until, f"the CA asked for a pause: {error.found}")
        elif scope is not None and scope.kind is LimitKind.ACCOUNT:
            self._count(error.found)
            return
        if error.code not in _UNHEARD:
            self._heard()

    def _count(self, found: str) -> None:
        with self._lock:
            self._in_a_row += 1
            number = self._in_a_row
        if number >= MOST_IN_A_ROW or self._store.is_breaker_open:
            self._store.trip_breaker(f"the CA could not be asked, several times in a row: {found}")

    def _heard(self) -> None:
        with self._lock:
            self._in_a_row = 0
        self._store.reset_breaker()
