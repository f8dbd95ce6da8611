"""The small slice of every class of faults; `make torture` runs the whole of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import network
from tests.torture.case import CLASSES, load

_WITH_PEBBLE = {"kill", "ca_faults", "concurrency", "hostile_files", "secret_leaks", "several_cas"}
_OF_HOSTS = [
    pytest.mark.pebble,
    pytest.mark.postgres,
    pytest.mark.skipif(bool(network.missing()), reason=network.missing()),
]


def _marks(name: str) -> list[pytest.MarkDecorator]:
    if name == "hosts_network":
        return _OF_HOSTS
    return [pytest.mark.pebble] if name in _WITH_PEBBLE else []


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=_marks(name)) for name in CLASSES],
)
def test_invariants_hold_after_every_fault(name: str, tmp_path: Path) -> None:
    cases = list(load(name).run(tmp_path, small=True))
    assert cases
    assert [case.fault for case in cases if not case.tries] == []
    violations = [(case.fault, violation) for case in cases for violation in case.violations]
    assert violations == [], violations
