"""A slice of what a CA can do wrong, for every run of the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture import ca_faults
from tests.torture.case import require_held


@pytest.mark.pebble
def test_a_slice(tmp_path: Path) -> None:
    require_held(ca_faults, tmp_path / "torture")
