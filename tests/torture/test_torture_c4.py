"""C4 misbehaves: a slice of `make torture ARGS=c4_faults`."""

from pathlib import Path

from tests.torture import c4_faults
from tests.torture.case import require_held


def test_c4_may_misbehave_as_it_likes(tmp_path: Path) -> None:
    require_held(c4_faults, tmp_path)
