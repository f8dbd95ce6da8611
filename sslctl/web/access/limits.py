"""How often a person may do what: token buckets in memory."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

_MOST_BUCKETS = 10_000


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `burst` at once, and one more every `seconds`."""

    burst: int
    seconds: float


class Limited(Enum):
    """What is limited, with its rate."""

    ENTER = Rate(10, 6)
    """Tries to enter with a void one-time token, of everybody together."""
    CHANGE = Rate(60, 1)
    """Requests that change something, of one person."""
    KEYS = Rate(20, 15)
    """Requests for private keys, of one person."""
    BULK_KEYS = Rate(400, 10)
    """Private keys in downloads of many domains, of one person."""


class Limiter:
    """The buckets of one server. `monotonic` is a clock in seconds. It may be used from any thread."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._buckets: OrderedDict[tuple[Limited, str], tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, limited: Limited, person: str, number: int = 1) -> int:
        """Count `number` more by `person`, and return 0; if that is too many, count nothing, and return the seconds to wait."""
        rate, key, now = limited.value, (limited, person), self._monotonic()
        with self._lock:
            left, at = self._buckets.pop(key, (float(rate.burst), now))
            left = min(rate.burst, left + (now - at) / rate.seconds)
            wait = 0 if left >= number else math.ceil((number - left) * rate.seconds)
            self._buckets[key] = (left if wait else left - number, now)
            if len(self._buckets) > _MOST_BUCKETS:
                # Whoever was seen last the longest time ago has a full bucket again, or nearly.
                self._buckets.popitem(last=False)
        return wait
