"""A few overlaps of each kind, for every run of the tests; `make torture` has the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture import overlap
from tests.torture.case import require_held

pytestmark = pytest.mark.pebble


def test_whoever_comes_together_takes_turns(tmp_path: Path) -> None:
    require_held(overlap, tmp_path)
