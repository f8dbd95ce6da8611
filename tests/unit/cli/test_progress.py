"""The rate at which passes end, and the time left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sslctl.cli.output.progress import Pace, Progress
from sslctl.rules.model import Domain, Source


def test_pace_returns_none_before_the_first_end_and_within_the_first_second() -> None:
    pace = Pace(10, 100.0)
    assert pace.rate(130.0) is None
    pace.count(100.5)
    assert (pace.rate(100.6), pace.left(100.6)) == (None, None)
    assert pace.rate(101.5) is not None


def test_pace_computes_rate_and_time_left_from_ended_passes() -> None:
    pace = Pace(100, 0.0)
    for number in range(20):
        pace.count((number + 1) / 2)
    assert pace.done == 20
    assert pace.rate(10.0) == 2
    assert pace.left(10.0) == timedelta(seconds=40)


def test_pace_counts_only_the_last_minute() -> None:
    """Uploads are quick and orders are slow, so the rate of long ago does not predict the time left."""
    pace = Pace(10_000, 0.0)
    for _ in range(5_000):
        pace.count(1.0)
    for second in range(2, 200):
        pace.count(float(second))
    assert pace.rate(199.0) is not None
    assert abs((pace.rate(199.0) or 0) - 1) < 0.05


def test_pace_rate_falls_while_nothing_ends() -> None:
    pace = Pace(10, 0.0)
    pace.count(1.0)
    assert pace.rate(2.0) == 0.5
    assert pace.rate(10.0) == 0.1


def test_pace_looks_back_further_when_few_passes_end() -> None:
    pace = Pace(10, 0.0)
    pace.count(1.0)
    pace.count(501.0)
    assert pace.rate(501.0) == 1 / 500


def test_plain_progress_prints_a_line_for_each_step_without_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    domain = Domain(1, "shop.example.com", (), Source.C4, datetime(2026, 11, 23, tzinfo=UTC))
    with Progress(1, is_plain=True) as progress:
        progress.step(domain, "querying C4")
        progress.step(domain, "checking DNS")
        with progress.done():
            pass
    assert capsys.readouterr().err == "shop.example.com: querying C4\nshop.example.com: checking DNS\n"
    with Progress(1) as progress:
        progress.step(domain, "querying C4")
    assert capsys.readouterr().err == ""
