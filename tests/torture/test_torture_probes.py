"""What outsiders would have sslctl connect to: a slice of `make torture ARGS=probes`."""

from pathlib import Path

from tests.torture import probes
from tests.torture.case import require_held


def test_nothing_is_connected_to_that_a_customer_or_a_ca_may_not_choose(tmp_path: Path) -> None:
    require_held(probes, tmp_path)
