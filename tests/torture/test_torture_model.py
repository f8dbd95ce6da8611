"""The model's slice: always the same few lives."""

from __future__ import annotations

from pathlib import Path

from tests.torture import model_steps
from tests.torture.case import require_held


def test_all_holds_whatever_happens_in_whatever_order(tmp_path: Path) -> None:
    require_held(model_steps, tmp_path)
