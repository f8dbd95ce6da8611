"""A slice of the power cuts."""

from __future__ import annotations

from pathlib import Path

from tests.torture import power
from tests.torture.case import require_held


def test_a_power_cut_loses_nothing_acknowledged(tmp_path: Path) -> None:
    require_held(power, tmp_path)
