"""A slice of the disks that fail."""

from __future__ import annotations

from pathlib import Path

from tests.torture import disk
from tests.torture.case import require_held


def test_a_failing_disk_costs_no_order_and_no_certificate(tmp_path: Path) -> None:
    require_held(disk, tmp_path)
