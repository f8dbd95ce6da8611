"""Stop sending requests that the CA would refuse: pauses that it asks for, and a circuit breaker if it is down."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from sslctl.issuer import IssueError, OrderPending
from sslctl.rules.budget import EVERY_REQUEST, LONGEST_BUSY, URGENT_INTERVAL, longest_wait
from sslctl.rules.limits import LimitKind, Scope, set_key
from sslctl.rules.model import Order
from sslctl.rules.reasons import Code
from sslctl.store.interface.budget import Budget

FAILURE_THRESHOLD = 5
# These do not prove that the CA is up: a 503 may come from a gateway.
_INCONCLUSIVE = (Code.CA_UNAVAILABLE, Code.ISSUER_FAILED, Code.CA_VALIDATING)


class CircuitBreaker:
    """A circuit breaker for each CA, which all passes share. Safe to use from several threads.

    A pause that the CA asks for is kept as long as it asks, at most as long as such a pause can be right
    (`budget.longest_wait`); a busy moment (`budget.LONGEST_BUSY`) is no pause. After `FAILURE_THRESHOLD` requests in a row without an answer, from any pass, or one that
    refuses the account, the breaker opens for a minute. If the next request fails too, it opens for twice as long, at most
    an hour. The first answer closes it.
    """

    def __init__(self, store: Budget, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = Counter[str]()

    @contextmanager
    def watch(self, order: Order) -> Iterator[None]:
        """Record how the block ends, which sends requests about `order` to the CA: an answer, a pause or a failure."""
        try:
            yield
        except OrderPending:
            self._record_answer(order.ca)
            raise
        except IssueError as error:
            self._record_error(order, error)
            raise
        self._record_answer(order.ca)

    def _record_error(self, order: Order, error: IssueError) -> None:
        scope = error.pause
        if error.retry_at is not None:
            error.retry_at = min(error.retry_at, self._clock() + longest_wait(error.code, scope))
        if scope in EVERY_REQUEST and self._is_busy(error):
            self._record_failure(order.ca, error.found)
            return
        if scope is not None and error.retry_at is not None:
            if scope.kind is LimitKind.DUPLICATES:
                scope = replace(scope, key=set_key(order.names))
            self._store.pause(scope, error.retry_at, f"the CA asked for a pause: {error.found}", ca=order.ca)
            if scope in EVERY_REQUEST:
                # The next order that goes ahead nevertheless comes an hour after this one.
                until = self._clock() + URGENT_INTERVAL
                self._store.pause(Scope(LimitKind.URGENT), until, "an order was refused", ca=order.ca)
        elif scope is not None and scope.kind is LimitKind.ACCOUNT:
            if error.code is Code.CA_REFUSED:
                why = f"the CA refuses all requests of the account: {error.found}"
                self._store.trip_breaker(why, ca=order.ca)
            else:
                self._record_failure(order.ca, error.found)
            return
        if error.code not in _INCONCLUSIVE:
            self._record_answer(order.ca)

    def _is_busy(self, error: IssueError) -> bool:
        """Return whether the CA was only busy for a moment, which must not end the passes of all other domains."""
        if error.code is not Code.CA_UNAVAILABLE or error.retry_at is None:
            return False
        return error.retry_at - self._clock() <= LONGEST_BUSY

    def _record_failure(self, ca: str, found: str) -> None:
        with self._lock:
            self._failures[ca] += 1
            failures = self._failures[ca]
        if failures >= FAILURE_THRESHOLD or self._store.is_breaker_open(ca=ca):
            self._store.trip_breaker(f"the CA did not answer several times in a row: {found}", ca=ca)

    def _record_answer(self, ca: str) -> None:
        with self._lock:
            self._failures[ca] = 0
        self._store.reset_breaker(ca=ca)
