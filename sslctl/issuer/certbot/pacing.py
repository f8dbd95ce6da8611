"""Pacing: the requests of all jobs on this machine stay within the CA's limits per IP address.

Each kind of request has a token bucket. The buckets are in one small file, locked for each access, so that all processes that
use the same state share them: the jobs of a tick and those of a command beside it. Other hosts, and other programs behind the same
address, are not counted.

The bucket is the generic cell rate algorithm (ITU-T I.371): one time says when it will be full again.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TypeVar

LONGEST_HOLD = 60.0
"""The longest `Retry-After`, in seconds, that is waited for on the spot; a longer one ends the job."""

# A quarter of a second's requests may start at once. Let's Encrypt allows at least twice that; the rest is for requests that
# arrive closer together than they were sent.
_BURST = 4
# No more requests than this ever wait for one bucket. A time that is further ahead is from before the machine was started.
_MOST_WAITING = 1024
# The third request that is refused may be this one: a job must end before its deadline.
_MOST_HOLDS = 2


class Kind(IntEnum):
    """The kinds of requests that Let's Encrypt limits apart from each other."""

    DIRECTORY = 0
    NEW_NONCE = 1
    OTHER = 2


@dataclass(slots=True)
class _Bucket:
    """A bucket, in seconds of the monotonic clock: when it is full again, and until when the CA wants no request."""

    full_at: float = 0
    held_until: float = 0


_FORMAT = struct.Struct("=2d")
T = TypeVar("T")


class Pace:
    """The pace of the requests to the CA. Safe to use from several threads and processes.

    `path` is the file of the buckets; without one, and where it cannot be written or locked, this process keeps the pace for
    itself. `rates` are the requests a second by kind; 0, or no rate, means no limit.
    """

    def __init__(
        self,
        path: Path | None = None,
        rates: Mapping[Kind, float] | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._path = path
        self._rates = rates or {}
        self._monotonic = monotonic
        self._sleep = sleep
        self._lock = threading.Lock()
        self._own = {kind: _Bucket() for kind in Kind}

    def wait(self, kind: Kind) -> None:
        """Wait until a request of `kind` may start, if need be until the end of two holds."""
        for _ in range(_MOST_HOLDS):
            seconds = self._reserve(kind)
            if seconds <= 0:
                return
            self._sleep(seconds)
            # Meanwhile the CA may have refused another request.
            if not self._is_held(kind):
                return

    def hold(self, kind: Kind, seconds: float) -> None:
        """Let no request of `kind` start for `seconds`, at most `LONGEST_HOLD`: the CA refused one."""

        def change(bucket: _Bucket) -> None:
            until = self._monotonic() + min(seconds, LONGEST_HOLD)
            bucket.held_until = max(bucket.held_until, until)

        self._update(kind, change)

    def _reserve(self, kind: Kind) -> float:
        """Take a token, and return how long to wait, in seconds, until it is there."""
        rate = self._rates.get(kind, 0)

        def change(bucket: _Bucket) -> float:
            now = self._monotonic()
            starts_at = max(now, bucket.held_until)
            if rate:
                full_at = max(bucket.full_at, starts_at)
                starts_at = max(starts_at, full_at - (max(1, rate // _BURST) - 1) / rate)
                bucket.full_at = full_at + 1 / rate
            return starts_at - now

        return self._update(kind, change)

    def _is_held(self, kind: Kind) -> bool:
        return self._update(kind, lambda bucket: bucket.held_until > self._monotonic())

    def _update(self, kind: Kind, change: Callable[[_Bucket], T]) -> T:
        """Return what `change` returns of the bucket of `kind`, and store what it changes, all under the lock."""
        with self._lock:
            with suppress(OSError), self._file() as file:
                bucket = self._read(file, kind)
                result = change(bucket)
                os.pwrite(file, _FORMAT.pack(bucket.full_at, bucket.held_until), kind * _FORMAT.size)
                return result
            return change(self._own[kind])

    @contextmanager
    def _file(self) -> Iterator[int]:
        if self._path is None:
            raise FileNotFoundError
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            # The kernel releases the lock when the file is closed, or the process is killed.
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)

    def _read(self, file: int, kind: Kind) -> _Bucket:
        content = os.pread(file, _FORMAT.size, kind * _FORMAT.size)
        bucket = _Bucket(*_FORMAT.unpack(content)) if len(content) == _FORMAT.size else _Bucket()
        held_latest = self._monotonic() + LONGEST_HOLD
        full_latest = held_latest + _MOST_WAITING / (self._rates.get(kind) or 1)
        # `not <=` is also true for what is not a number.
        if not bucket.held_until <= held_latest or not bucket.full_at <= full_latest:
            return _Bucket()
        return bucket
