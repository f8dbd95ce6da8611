"""A slice of what files can be instead of what they should be, for every run of the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture import hostile_files
from tests.torture.case import require_held


@pytest.mark.pebble
def test_a_slice(tmp_path: Path) -> None:
    require_held(hostile_files, tmp_path / "torture")
