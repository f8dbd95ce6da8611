"""How fast passes end, and how long the rest will take."""

from __future__ import annotations

from datetime import timedelta

from sslctl.cli.output.progress import Pace


def test_nothing_is_told_before_anything_ended_or_within_the_first_second() -> None:
    pace = Pace(10, 100.0)
    assert pace.rate(130.0) is None
    pace.count(100.5)
    assert (pace.rate(100.6), pace.left(100.6)) == (None, None)
    assert pace.rate(101.5) is not None


def test_the_rate_and_the_time_left_are_those_of_what_ended() -> None:
    pace = Pace(100, 0.0)
    for number in range(20):
        pace.count((number + 1) / 2)
    assert pace.done == 20
    assert pace.rate(10.0) == 2
    assert pace.left(10.0) == timedelta(seconds=40)


def test_only_the_last_minute_counts() -> None:
    """Uploads are quick and orders are not: what was long ago says nothing of what is left."""
    pace = Pace(10_000, 0.0)
    for _ in range(5_000):
        pace.count(1.0)
    for second in range(2, 200):
        pace.count(float(second))
    assert pace.rate(199.0) is not None
    assert abs((pace.rate(199.0) or 0) - 1) < 0.05


def test_what_stands_still_grows_slower() -> None:
    pace = Pace(10, 0.0)
    pace.count(1.0)
    assert pace.rate(2.0) == 0.5
    assert pace.rate(10.0) == 0.1


def test_where_little_ends_it_is_counted_from_longer_ago() -> None:
    pace = Pace(10, 0.0)
    pace.count(1.0)
    pace.count(501.0)
    assert pace.rate(501.0) == 1 / 500
