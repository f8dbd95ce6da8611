"""Threads, as many as the system starts: a limit of tasks or of memory makes the work slower and does not stop it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import TypeVar

from sslctl.errors import MachineLimit
from sslctl.system.limits import explain, limit_threads, no_task

T = TypeVar("T")
R = TypeVar("R")


def start_threads(
    work: Callable[[], object], count: int, name: str, *, is_daemon: bool = False
) -> tuple[list[threading.Thread], MachineLimit | None]:
    """Start up to `count` threads that run `work`. Return them, and the limit because of which they are fewer, or none.

    Threads that are daemons do not keep the process from ending.
    """
    threads: list[threading.Thread] = []
    allowed, limit = limit_threads(count)
    try:
        for number in range(allowed):
            thread = threading.Thread(target=work, name=f"{name}_{number}", daemon=is_daemon)
            thread.start()
            threads.append(thread)
    except (RuntimeError, MemoryError) as error:
        # CPython raises the first if the system refuses the thread.
        limit = explain(error) or no_task()
    return threads, limit


def map_in_threads(
    function: Callable[[T], R],
    items: Sequence[T],
    count: int,
    name: str,
    *,
    wait: bool = True,
    is_daemon: bool = False,
) -> Iterator[R]:
    """Yield the results of `function` for `items`, in order, from up to `count` threads, or from this one if none starts.

    If the caller ends early, what was not begun is dropped; with `wait`, what was begun is awaited. For `is_daemon` see
    `start_threads`.
    """
    futures = [Future[R]() for _ in items]
    pending = iter(zip(items, futures, strict=True))
    lock = threading.Lock()
    is_ended = False

    def work() -> None:
        while True:
            with lock:
                item, future = (None, None) if is_ended else next(pending, (None, None))
            if future is None:
                return
            try:
                future.set_result(function(item))  # type: ignore[arg-type]  # an item of `items`
            except BaseException as error:  # noqa: BLE001 - raised again in the thread of the caller
                future.set_exception(error)

    threads, _ = start_threads(work, min(count, len(items)), name, is_daemon=is_daemon)
    try:
        if threads:
            for future in futures:
                yield future.result()
        else:
            yield from map(function, items)
    finally:
        with lock:
            is_ended = True
        for thread in threads if wait else ():
            thread.join()
