"""The clock goes wrong: a slice of `make torture ARGS=clocks`."""

from pathlib import Path

from tests.torture import clocks
from tests.torture.case import require_held


def test_a_clock_that_goes_wrong_brings_no_storm_of_orders(tmp_path: Path) -> None:
    require_held(clocks, tmp_path)
