"""A few kills of each kind, for every run of the tests; `make torture` has the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture import kill
from tests.torture.case import require_held

pytestmark = pytest.mark.pebble


def test_what_was_killed_is_whole_again(tmp_path: Path) -> None:
    require_held(kill, tmp_path)
