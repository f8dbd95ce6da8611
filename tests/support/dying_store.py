"""A store whose process is killed at its n-th write."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

# `reset_breaker` is missing: it is called after every answer of the CA, and mostly writes nothing.
WRITES = frozenset(
    {
        "add_domain", "add_domains", "add_issued_certificate", "add_text_certificate", "close_order",
        "delete_domain", "mark_not_serving", "mark_revoked", "mark_serving", "mark_uploaded",
        "mark_uploading", "open_order", "pause", "record_event", "record_finding", "record_order_url",
        "trip_breaker", "update_domain", "confirm_observations", "record_dns_check", "record_observation",
        "record_result", "record_text_consent", "drop_wanted", "withdraw_pair",
    }
)  # fmt: skip


class Killed(BaseException):
    """Stands for kill -9 within the test's process: no code of ours catches it."""


def _raise_killed() -> NoReturn:
    raise Killed


class DyingStore:
    """The real store, whose process is killed right before or right after the `fatal`-th call of one of `methods`.

    `kill` kills it, and is called for every later call of these methods as well: a dead process writes nothing. Claims
    can be released: those of a dead process are void. The call of `transaction` is the commit at the end of its block.
    """

    def __init__(
        self,
        store: Any,
        fatal: int,
        *,
        before: bool,
        methods: Collection[str] = WRITES,
        kill: Callable[[], object] = _raise_killed,
    ) -> None:
        self._store = store
        self._left = fatal
        self._before = before
        self._methods = methods
        self._kill = kill
        self._counting = threading.Lock()

    @property
    def is_dead(self) -> bool:
        """Return whether the process was killed."""
        return self._left <= 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name not in self._methods:
            return method

        def call(*arguments: Any, **options: Any) -> Any:
            left = self._count()
            if left < 0 or (left == 0 and self._before):
                self._kill()
            result = method(*arguments, **options)
            if left == 0:
                self._kill()
            return result

        return call

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See `Store.transaction`."""
        with self._store.transaction():
            yield
        if "transaction" in self._methods and self._count() <= 0:
            self._kill()

    def _count(self) -> int:
        """Count a call; return how many are left."""
        with self._counting:
            self._left -= 1
            return self._left
