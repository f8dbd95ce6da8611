"""The pauses between looks."""

from __future__ import annotations

from itertools import accumulate, pairwise

import pytest

from sslctl.rules.poll_pauses import poll_pauses


@pytest.mark.parametrize("seconds", [0.05, 0.1, 0.3, 1, 10, 12.34, 600])
def test_pauses_take_the_whole_time_and_not_more(seconds: float) -> None:
    assert sum(poll_pauses(seconds, 0.5)) == pytest.approx(seconds)


@pytest.mark.parametrize("seconds", [0, -1])
def test_there_is_no_further_look_without_time(seconds: float) -> None:
    assert list(poll_pauses(seconds, 0.5)) == []


def test_pauses_are_short_at_first_and_never_longer_than_the_longest() -> None:
    looks = [0.0, *accumulate(poll_pauses(60, 0.5))]
    assert all(later - earlier <= max(0.101, earlier / 4 + 0.001) for earlier, later in pairwise(looks))
    assert len([look for look in looks if 0 < look <= 1]) < 10
    assert len([look for look in looks if 2 < look <= 60]) < 2 * 60
