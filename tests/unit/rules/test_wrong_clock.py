from __future__ import annotations

from datetime import timedelta

import pytest

from sslctl.rules.wrong_clock import find_trouble


@pytest.mark.parametrize("seconds", [0, 1, -1, 299, -299])
def test_clock_that_is_less_than_5_minutes_off_is_no_trouble(seconds: int) -> None:
    assert find_trouble(timedelta(seconds=seconds)) == ""


@pytest.mark.parametrize(
    ("minutes", "wanted"),
    [
        (5, ("5 minutes ahead of that of the database", "too early")),
        (-5, ("5 minutes behind that of the database", "too late")),
        (59, ("59 minutes ahead of", "too early")),
    ],
)
def test_clock_that_is_further_off_is_described_with_what_it_means(
    minutes: int, wanted: tuple[str, ...]
) -> None:
    assert all(each in find_trouble(timedelta(minutes=minutes)) for each in wanted)
