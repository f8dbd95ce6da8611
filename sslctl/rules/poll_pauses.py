"""The pauses between looks at something that takes a moment or many seconds: short at first, then a share of the time that has passed."""

from __future__ import annotations

from collections.abc import Iterator

_FIRST_SECONDS = 0.1
# What took a second is noticed after a second and a quarter at the latest.
_SHARE = 0.25


def poll_pauses(seconds: float, longest: float) -> Iterator[float]:
    """Yield the pauses before each further look, none longer than `longest`. Together they take `seconds`."""
    passed = 0.0
    while passed < seconds:
        pause = min(max(_FIRST_SECONDS, _SHARE * passed), longest, seconds - passed)
        yield pause
        passed += pause
